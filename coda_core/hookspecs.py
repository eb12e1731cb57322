"""The hooks: one registration hook per kind, then the observers.

A plugin is a module registered under the entry-point group ``coda``. It says which contract it was written for
with a module variable, ``CODA_CONTRACT = 1``, and implements the hooks it needs with `hookimpl`. Hooks run once,
when plugins are loaded: keep the module light and import what is heavy inside a component's factory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import pluggy

if TYPE_CHECKING:
    from coda_core.interfaces import Component
    from coda_core.kernel import Kernel

__all__ = ["PROJECT", "REGISTRATION_HOOKS", "hookimpl", "hookspec"]

PROJECT: Final = "coda"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def coda_register_audio_sources() -> Sequence[Component[Any]]:  # type: ignore[empty-body]
    """Return components that yield blocks of audio for the local conversation."""


@hookspec
def coda_register_processors() -> Sequence[Component[Any]]:  # type: ignore[empty-body]
    """Return components that are speech-to-speech models."""


@hookspec
def coda_register_monologue_extractors() -> Sequence[Component[Any]]:  # type: ignore[empty-body]
    """Return components that turn steps into extracted text."""


@hookspec
def coda_register_streaming_managers() -> Sequence[Component[Any]]:  # type: ignore[empty-body]
    """Return components that own time: queues, threads, batching."""


@hookspec
def coda_register_state_managers() -> Sequence[Component[Any]]:  # type: ignore[empty-body]
    """Return components that own the meaning of what happens."""


@hookspec
def coda_register_state_stores() -> Sequence[Component[Any]]:  # type: ignore[empty-body]
    """Return components that keep events and blobs."""


@hookspec
def coda_register_transports() -> Sequence[Component[Any]]:  # type: ignore[empty-body]
    """Return components that carry conversations to a peer."""


@hookspec
def coda_started(kernel: Kernel) -> None:
    """A kernel is running: subscribe to its events here. Called once for each kernel, on its event loop."""


REGISTRATION_HOOKS: Final = {
    "audio_source": "coda_register_audio_sources",
    "processor": "coda_register_processors",
    "monologue_extractor": "coda_register_monologue_extractors",
    "streaming_manager": "coda_register_streaming_managers",
    "state_manager": "coda_register_state_managers",
    "state_store": "coda_register_state_stores",
    "transport": "coda_register_transports",
}
"""The hook that registers each kind."""
