"""How something of the public contract is given up: it warns for one minor release, and then it is gone.

A name that moved is listed in `moved` of its old module, a callable is marked with `deprecated`. Both warn where they
are used, with what to use instead and the version in which the old way ends.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, ParamSpec, TypeVar

__all__ = ["CodaDeprecationWarning", "deprecated", "moved"]

P = ParamSpec("P")
R = TypeVar("R")


class CodaDeprecationWarning(DeprecationWarning):
    """Something of Coda's public contract that a later version no longer has."""


def deprecated(*, instead: str, ends: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a function, method or class-making function: calling it warns. `ends` is the version without it."""

    def mark(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def warned(*arguments: P.args, **named: P.kwargs) -> R:
            _warn(function.__qualname__, instead, ends)
            return function(*arguments, **named)

        return warned

    return mark


def moved(module: str, names: Mapping[str, str], *, ends: str) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for a module whose `names` are elsewhere now, each as ``module:name``."""

    def getattr_moved(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, _, new = names[name].partition(":")
        _warn(f"{module}.{name}", f"{home}.{new}", ends)
        return getattr(import_module(home), new)

    return getattr_moved


def _warn(what: str, instead: str, ends: str) -> None:
    warnings.warn(
        f"{what} is deprecated and ends with coda-core {ends}; use {instead}",
        CodaDeprecationWarning,
        stacklevel=3,
    )
