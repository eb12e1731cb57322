"""Stacks: read from TOML or made in Python, checked, and completed with the defaults."""

from coda_core.config.reader import read_stack, stack_of
from coda_core.config.resolution import resolve
from coda_core.config.setup import setup_of
from coda_core.config.stack import Chosen, ResolvedStack, Stack

__all__ = ["Chosen", "ResolvedStack", "Stack", "read_stack", "resolve", "setup_of", "stack_of"]
