"""Which version of a module's distribution is installed."""

from __future__ import annotations

from functools import cache
from importlib import metadata

__all__ = ["version_of"]


def version_of(module: str) -> str:
    """Return the version of the distribution that brings a module, without importing it; empty if unknown."""
    names = _distributions().get(module.partition(".")[0], [])
    return metadata.version(names[0]) if names else ""


@cache
def _distributions() -> dict[str, list[str]]:
    # Reads the file list of everything that is installed, which takes a moment.
    return {module: list(names) for module, names in metadata.packages_distributions().items()}
