"""The kind `streaming_manager`, and what the kernel hands to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Protocol

import attrs

from coda_core.audio import AudioFrame, Block
from coda_core.commands import Command
from coda_core.events import Event
from coda_core.interfaces.follower import Follower
from coda_core.interfaces.measures import LaneMeasures, Measures
from coda_core.interfaces.parked import ParkedState
from coda_core.interfaces.processor import Processor, ProcessorInfo, SlotOptions

__all__ = ["Admission", "Lane", "StreamingManager", "Wiring"]


@attrs.frozen(kw_only=True)
class Admission:
    """Whether one more conversation fits now."""

    ok: bool
    reason: str
    capacity: int
    load: float
    park_first: str | None = None
    """Where all slots are taken: the conversation to park so that one is free, None where none may be."""


@attrs.frozen(eq=False, kw_only=True)
class Wiring:
    """What the kernel hands to a streaming manager. The callables are called on L."""

    open_processor: Callable[[], AbstractContextManager[Processor]]
    """Builds the processor; entered and left on W."""
    worker: str | None
    """See `Component.worker`."""
    followers: Mapping[str, Follower]
    """By label. The manager owns a thread and a bounded queue for each."""
    deliver: Callable[[Sequence[AudioFrame]], None]
    """The audio of one step, for all of its conversations at once. Must return quickly."""
    found: Callable[[str, Sequence[Event]], None]
    """Events from a follower, with its label."""
    report: Callable[[Event], None]
    """Facts about a conversation that the manager itself noticed: gaps and faults."""
    broken: Callable[[str, str], None]
    """A conversation has ended by a fault: its id and a message. Its lane is closed already."""
    lost: Callable[[BaseException], None]
    """The processor is gone, and every conversation with it."""
    indispensable: frozenset[str] = frozenset()
    """Labels of followers that no conversation goes on without, however they behave: the state manager stores events
    on its thread."""


class Lane(Protocol):
    """One conversation's way to the worker. On L."""

    async def push(self, block: Block) -> None:
        """Take a block. Offline waits while the queue is full; real time drops by policy and never waits."""

    async def drain(self) -> None:
        """There is no more input for now: step what is queued, the last partial frame padded with silence."""

    async def pause(self) -> None:
        """Stop stepping; returns when no step of it is under way. The slot and queued input are kept."""

    async def resume(self) -> None:
        """Go on."""

    def command(self, command: Command) -> int:
        """Hand a command to the processor before this conversation's next step; return the index of that step."""

    async def park(self, save: Callable[[ParkedState], Awaitable[None]]) -> None:
        """Take the conversation out of its slot between two steps; the lane is over then.

        `save` is awaited with its state before the slot is wiped. Where that fails the conversation stays in its
        slot, paused, and the error is raised. Queued input is part of the state.
        """

    async def checkpoint(self) -> ParkedState:
        """Return what the conversation could go on from elsewhere; it keeps its slot and goes on here.

        Input that waits is part of it only while the conversation is paused: of a live one it is not there any more
        when somebody goes on from this. Raises `Incapable` and `ModelError`.
        """

    async def close(self) -> None:
        """Free the slot, flush the followers and wait for what they found. Queued input is thrown away."""

    def measures(self) -> LaneMeasures: ...


class StreamingManager(Protocol):
    """Owns time: frames, queues, the worker thread and the followers' threads. On L."""

    realtime: bool
    """True where frames are due 12.5 times a second; False where they go as fast as the model does."""
    info: ProcessorInfo
    """Known while `run` is entered."""

    def run(self, wiring: Wiring) -> AbstractAsyncContextManager[None]:
        """Build the processor, start the threads; on leaving, stop them all."""

    def admit(self) -> Admission: ...

    async def open(self, conversation: str, options: SlotOptions, state: ParkedState | None = None) -> Lane:
        """Take a slot, and go on from `state` if given; raises `coda_core.errors.Full`.

        A lane that goes on from a state stands still, as if paused, until `Lane.resume`. With a prompt this returns
        when it is taken in.

        Raises `coda_core.errors.ModelError` for a state that this processor cannot go on from.
        """

    async def call(self, follower: str, function: Callable[[], Any]) -> Any:
        """Run `function` on a follower's thread, after what is queued before it, and return its result."""

    def measures(self) -> Measures: ...
