"""A plugin around a processor that a test holds in its hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import attrs

from coda_core.hookspecs import hookimpl
from coda_core.interfaces import CONTRACT_VERSION, Component, Context, Processor

__all__ = ["plugin_around"]


def plugin_around(processor: Processor) -> tuple[ModuleType, object]:
    """Return the module of a plugin whose processor is `processor`, for `load_plugins`, and the config to ask for it.

    The processor is not made anew: a kernel at a time.
    """

    @attrs.frozen
    class HeldConfig:
        """It has no settings."""

    @contextmanager
    def held(config: HeldConfig, context: Context) -> Iterator[Processor]:
        yield processor

    @hookimpl
    def coda_register_processors() -> list[Component[Any]]:
        return [Component("held", "A processor that a test holds.", HeldConfig, held)]

    module = ModuleType("coda_fakes")
    vars(module).update(CODA_CONTRACT=CONTRACT_VERSION, coda_register_processors=coda_register_processors)
    return module, HeldConfig()
