"""Conversations over the network: an ASGI application for Kyutai's clients, for programs and for operators."""
