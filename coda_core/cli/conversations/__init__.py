"""``coda conversations``."""

from coda_core.cli.conversations.entry import command

__all__ = ["command"]
