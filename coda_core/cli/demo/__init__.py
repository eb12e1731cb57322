"""``coda demo``."""

from coda_core.cli.demo.entry import command

__all__ = ["command"]
