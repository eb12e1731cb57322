"""Stacks: read from TOML or made in Python, checked, and completed with the defaults."""

from coda_core.config.reader import read_stack
from coda_core.config.resolution import resolve
from coda_core.config.stack import Chosen, ResolvedStack, Stack

__all__ = ["Chosen", "ResolvedStack", "Stack", "read_stack", "resolve"]
