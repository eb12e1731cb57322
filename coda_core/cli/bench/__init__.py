"""``coda bench``."""

from coda_core.cli.bench.entry import command

__all__ = ["command"]
