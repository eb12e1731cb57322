"""What every component has, whatever its kind: a name, settings and a factory, and what that is given."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

import attrs

from coda_core.clock import Clock
from coda_core.events import Event
from coda_core.interfaces.state_store import StateStore
from coda_core.memory import MemoryPlan

__all__ = ["CONTRACT_VERSION", "KINDS", "Component", "Context", "Kind", "Progress", "Requires"]

CONTRACT_VERSION: Final = 1
"""Version of everything in this package and of the hook specs. A plugin names the one it was written for."""

Kind = Literal[
    "audio_source",
    "processor",
    "monologue_extractor",
    "streaming_manager",
    "state_manager",
    "state_store",
    "transport",
]
KINDS: Final[tuple[Kind, ...]] = (
    "audio_source",
    "processor",
    "monologue_extractor",
    "streaming_manager",
    "state_manager",
    "state_store",
    "transport",
)

C = TypeVar("C")


class Progress(Protocol):
    """Told how far a long piece of work is. Called on any thread; must return at once."""

    def __call__(self, what: str, done: float, total: float) -> None: ...


def _tell_nobody(event: Event) -> None:
    del event


@attrs.frozen(kw_only=True)
class Context:
    """What a factory is given beside its config."""

    base_dir: Path
    """Folder that relative names in the stack are taken from."""
    cache_dir: Path
    """Folder of this user for things that can be made again."""
    clock: Clock
    logger: logging.Logger
    """Named after the component."""
    progress: Progress
    store: StateStore | None = None
    """The stack's store; given to a state manager and to nobody else."""
    report: Callable[[Event], None] = _tell_nobody
    """Tells observers of the kernel an event of no conversation. It is not stored. On L."""


@attrs.frozen
class Requires:
    """Python packages that a component imports and the base install does not bring."""

    modules: tuple[str, ...]
    """Top-level module names, looked for without importing them."""
    install: str
    """What to give to ``pip install``."""


@attrs.frozen
class Component(Generic[C]):
    """A named implementation of one kind, as a plugin registers it."""

    name: str
    """What ``use = "..."`` says in TOML: lower case, words joined by hyphens."""
    summary: str
    """One line for ``coda plugins``."""
    config: type[C]
    """An attrs class made with `coda_core.settings.setting`; no two components of a kind share one."""
    factory: Callable[[C, Context], AbstractAsyncContextManager[Any] | AbstractContextManager[Any]]
    """Makes the component: an async context manager entered on L. A processor's is a plain context manager,
    entered and left on W. Heavy imports belong inside."""
    requires: Requires | None = None
    worker: str | None = None
    """For a processor: all processors of this process that name the same worker share one thread, because what
    they are built on keeps process-wide state. None gives each kernel a thread of its own."""
    plan: Callable[[C, Context], MemoryPlan] | None = None
    """For a processor: reckons what it will take of memory, in a second or so, without loading anything and
    without the device being there. None for one that takes nothing to speak of. On any thread."""
