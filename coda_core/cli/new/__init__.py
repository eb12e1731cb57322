"""``coda new``: something of one's own to start from."""

from coda_core.cli.new.entry import command

__all__ = ["command"]
