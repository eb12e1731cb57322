"""The command line `coda`. Beside the kernel, not in it: nothing of the kernel imports this package."""

from coda_core.cli.group import coda, main

__all__ = ["coda", "main"]
