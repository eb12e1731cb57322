"""``coda doctor``."""

from coda_core.cli.doctor.entry import command

__all__ = ["command"]
