"""What is going on while a stack runs, on a terminal."""

from coda_core.cli.live.display import live

__all__ = ["live"]
