"""Streaming managers: they own time, and every thread that works for a conversation."""
