"""``coda run``."""

from coda_core.cli.run.entry import command

__all__ = ["command"]
