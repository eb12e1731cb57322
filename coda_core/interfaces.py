"""The seven Protocols: what a plugin author reads.

Who calls whom on which thread: **L** is the event loop, **W** the one worker thread that steps the model, **F** a
follower's own thread, *any* is safe from anywhere. Only numpy arrays and plain values cross a Protocol. A plugin
inherits nothing: an object with the right methods is enough.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Literal, Protocol, TypedDict, TypeVar

import attrs

from coda_core.audio import FRAME_SAMPLES, SAMPLE_RATE_HZ, AudioFormat, AudioFrame, Block
from coda_core.clock import Clock
from coda_core.commands import Command, Notice
from coda_core.events import Event
from coda_core.memory import MemoryPlan, MemoryUse
from coda_core.state import ConversationState, Passage
from coda_core.steps import StepRecord, StepRecords
from coda_core.text import ExtractedText, Vocabulary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from coda_core.kernel import Kernel

__all__ = [
    "CONTRACT_VERSION",
    "KINDS",
    "Admission",
    "AudioSource",
    "Capability",
    "Commanded",
    "Component",
    "Context",
    "ConversationRow",
    "Distribution",
    "Follower",
    "FollowerMeasures",
    "Kind",
    "Lane",
    "LaneMeasures",
    "Measured",
    "Measures",
    "MonologueExtractor",
    "Parkable",
    "ParkedState",
    "Processor",
    "ProcessorInfo",
    "Progress",
    "Recording",
    "Requires",
    "Resizable",
    "SharedStore",
    "SlotOptions",
    "SlotSettings",
    "StateManager",
    "StateStore",
    "StepInput",
    "StepOutput",
    "StepRecord",
    "StepRecords",
    "StreamingManager",
    "Transport",
    "Unfinished",
    "Wiring",
]

CONTRACT_VERSION: Final = 1
"""Version of everything in this module and of the hook specs. A plugin names the one it was written for."""

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


# Processor


@attrs.frozen(kw_only=True)
class SlotOptions:
    """What one conversation asks of the model. None means the processor's own setting."""

    seed: int | None = None
    greedy: bool | None = None
    text_temperature: float | None = None
    audio_temperature: float | None = None
    text_top_k: int | None = None
    audio_top_k: int | None = None
    prompt: str | None = None
    """Text that the model takes in before it hears the caller; capability ``prompt``."""
    voice: str | None = None
    """Path of an audio file whose voice the model takes on before the text of the prompt; capability ``prompt``."""
    greeting: bool | None = None
    """False keeps the model silent until the caller has spoken; capability ``interrupt``."""
    record: bool | None = None
    """Whether both voices are recorded, see `Recording`; None is as the state manager says. No concern of the
    model's, but for this: a streaming manager rounds every frame by `coda_core.audio.rounded` before it is stepped,
    so that what was recorded is what was heard, to the bit."""


class SlotSettings(TypedDict, total=False):
    """The fields of `SlotOptions`, for what takes them by name."""

    seed: int | None
    greedy: bool | None
    text_temperature: float | None
    audio_temperature: float | None
    text_top_k: int | None
    audio_top_k: int | None
    prompt: str | None
    voice: str | None
    greeting: bool | None
    record: bool | None


Capability = Literal["say", "interrupt", "prompt", "park"]
"""What a processor can do beside stepping: ``say`` and ``interrupt`` by `Commanded`, ``park`` by `Parkable`."""


@attrs.frozen(kw_only=True)
class ProcessorInfo:
    """What a processor is, fixed while it lives but for what `Resizable.resize` changes."""

    slots: int
    """Batch size: how many conversations it can serve at once."""
    delay_frames: int
    """Steps between a frame and the model's own answer to it."""
    vocabulary: Vocabulary
    fingerprint: str
    """Same string, same model: a hash of the checkpoint and of what changes its output."""
    sample_rate_hz: int = SAMPLE_RATE_HZ
    frame_samples: int = FRAME_SAMPLES
    defaults: SlotOptions = SlotOptions()
    """What a slot gets where its conversation does not say; a seed of None is drawn by the kernel."""
    capabilities: frozenset[Capability] = frozenset()

    @property
    def frame_s(self) -> float:
        return self.frame_samples / self.sample_rate_hz


@attrs.frozen(eq=False)
class StepInput:
    """One step's input: the n slots that have a frame ready, in ascending order. All other slots stand still."""

    slots: NDArray[np.int64]
    """``[n]``"""
    pcm: NDArray[np.float32]
    """``[n, frame_samples]``, finite, full scale 1.0; valid during the call."""
    caller_speaking: NDArray[np.bool_]
    """``[n]``"""


@attrs.frozen(eq=False)
class StepOutput:
    """One step's output. Every array is aligned with `StepInput.slots` and belongs to the caller from now on."""

    pcm: NDArray[np.float32]
    """``[n, frame_samples]``, full scale 1.0."""
    valid: NDArray[np.bool_]
    """``[n]``; False while a slot is warming up: its audio and token mean nothing."""
    token: NDArray[np.int64]
    """``[n]``, the text token that belongs to this audio."""
    probability: NDArray[np.float32]
    """``[n]``, the model's probability of `token` at temperature 1."""
    failed: NDArray[np.bool_]
    """``[n]``; True where the slot can no longer be stepped (non-finite values); it has been wiped."""
    stage_s: Mapping[str, float]
    """Seconds spent in ``encode``, ``model`` and ``decode``."""
    injected: NDArray[np.bool_] | None = None
    """``[n]``, whether `token` was forced by a `Say` or a prompt; None where none was."""
    notices: Sequence[Notice] = ()
    """What became of each `Say` whose state changed, aligned with the tokens and audio of this step."""


class Processor(Protocol):
    """A speech-to-speech model that serves `info.slots` conversations in lockstep. All calls on W.

    What comes out of a slot depends on what went into that slot since `open`, and on nothing else. An exception
    from `step` means that the slots which took part are torn: the caller closes them; all others are unharmed.
    `coda_core.errors.ProcessorLost` means that nothing can be stepped any more.
    """

    info: ProcessorInfo

    def open(self, slot: int, options: SlotOptions) -> int | None:
        """Start a conversation in a free slot, from a fresh state.

        Return how many steps the slot needs for its prompt; none where that is 0 or None. In so many steps the PCM
        given for it is not heard and its output means nothing.
        """

    def step(self, batch: StepInput) -> StepOutput:
        """Advance the slots in `batch` by one frame."""

    def close(self, slot: int) -> None:
        """Free the slot and wipe everything it held. Does nothing for a slot that is free."""


class Commanded(Processor, Protocol):
    """A processor with the capability ``say`` or ``interrupt``."""

    def command(self, slot: int, command: Command) -> None:
        """Take a command, which acts from the slot's next step on."""


class Parkable(Processor, Protocol):
    """A processor with the capability ``park``."""

    def export(self, slot: int) -> Mapping[str, NDArray[Any]]:
        """Return a copy of everything that the slot's future depends on. The slot is left as it is."""

    def restore(self, slot: int, options: SlotOptions, state: Mapping[str, NDArray[Any]]) -> None:
        """Start in a free slot where `export` left off; its batch may have had another size.

        `options` are those that the conversation was opened with. Raises `coda_core.errors.ModelError` for a state
        that does not fit, and leaves the slot free.
        """


class Resizable(Processor, Protocol):
    """A processor whose batch can be made anew in another size, because a step of all slots takes too long."""

    def resize(self, slots: int) -> None:
        """Serve so many conversations from now on, as if it had been made with so many; `info` changes.

        Called while no slot is open. Where it raises, nothing can be stepped any more.
        """


class Watched(Processor, Protocol):
    """A processor that knows how much of its memory is in use."""

    def memory(self) -> MemoryUse:
        """Look now. Asked about once a second, between steps, so it must be quick."""


@attrs.frozen(eq=False, kw_only=True)
class ParkedState:
    """A conversation outside of any slot; every part is at the same frame boundary."""

    conversation: str
    frame: int
    """Steps it has lived: index of the next one."""
    fingerprint: str
    """`ProcessorInfo.fingerprint` of the processor that exported it."""
    options: SlotOptions
    slot: Mapping[str, NDArray[Any]]
    """From `Parkable.export`."""
    lane: bytes
    """The streaming manager's own part."""
    followers: Mapping[str, bytes]
    """By label, from `Follower.export`."""

    @property
    def size_bytes(self) -> int:
        arrays = sum(array.nbytes for array in self.slot.values())
        return arrays + len(self.lane) + sum(len(part) for part in self.followers.values())


# Followers


class Follower(Protocol):
    """Works behind the audio on the records of finished steps. All calls on F, its own thread."""

    def open(self, conversation: str, info: ProcessorInfo, state: bytes | None = None) -> None:
        """A conversation begins or, where `export` once gave `state`, goes on."""

    def feed(self, step: StepRecords) -> Sequence[Event]:
        """Take the records of one step for all conversations in it; return what was found.

        `step` is a sequence of `StepRecord`: whoever needs no columns may say so.
        """

    def export(self, conversation: str) -> bytes:
        """Return what is held for a conversation, for `open` to go on from. It is left as it is.

        Where the conversation is parked, `close` follows, and what that returns is thrown away.
        """

    def close(self, conversation: str) -> Sequence[Event]:
        """A conversation ended: return what was still held back, and forget it."""


class MonologueExtractor(Follower, Protocol):
    """Turns a conversation's steps into `ExtractedText`."""

    def text(self, conversation: str, last_s: float) -> Sequence[ExtractedText]:
        """Return the retained text that ends within the last `last_s` seconds of the conversation."""


class StateManager(Follower, Protocol):
    """Owns the meaning of what happens, and what of it is stored."""

    def record(self, events: Sequence[Event]) -> None:
        """Store numbered events of any conversations. They are durable when this returns; raises `StoreError`."""

    def save(self, parked: ParkedState) -> None:
        """Store a conversation's model state in place of an earlier one. Durable when it returns."""

    def load(self, conversation: str) -> ParkedState | None:
        """Return what `save` stored last, None where there is none; raises `StoreError` where it is damaged."""

    def discard(self, conversation: str) -> None:
        """Drop what `save` stored, if anything."""

    def view(self, conversation: str) -> ConversationState | None:
        """Return what a live conversation is doing, None for one that is not open. Any thread; reads no store."""

    def unfinished(self) -> Sequence[Unfinished]:
        """Return the stored conversations whose end was never recorded, and that no other living process has.

        Called before any is opened and, with a `SharedStore`, whenever another process has left some.
        """


class Recording(StateManager, Protocol):
    """A state manager that can record: each conversation whose `SlotOptions.record` is true.

    What it records is in its store as `coda_core.recording` has it.
    """

    records: bool
    """Whether conversations are recorded that do not say."""


@attrs.frozen(kw_only=True)
class Unfinished:
    """A stored conversation that an earlier process left without an end."""

    conversation: str
    last_sequence: int
    resumable: bool
    """Whether its model state was saved."""
    token_digest: str
    """Of its resume token, from its `Opened`."""


# Store


@attrs.frozen(kw_only=True)
class ConversationRow:
    """One stored conversation, as a list shows it."""

    conversation: str
    opened_s: float
    """Wall-clock seconds since 1970-01-01 UTC."""
    closed_s: float | None
    """None while it is live, or where its end was never recorded."""
    user_id: str | None
    events: int
    """Events that are stored now."""
    last_sequence: int
    last_s: float = 0.0
    """Wall-clock time of its latest event."""
    dropped_events: int = 0
    """Events that `StateStore.trim` removed."""
    dropped_snapshots: int = 0


class StateStore(Protocol):
    """Owns durability. Called by the state manager alone, one method at a time; `append` on its F.

    Raises `coda_core.errors.StoreError` where something cannot be written or read.
    """

    def append(self, events: Sequence[Event]) -> None:
        """Store events, all or none. Durable when it returns.

        An event whose conversation and sequence are already stored is left as it is: a caller may repeat a call
        of which it does not know whether it succeeded.
        """

    def events(self, conversation: str, after: int = 0) -> Iterator[Event]:
        """Yield the events of a conversation with a sequence above `after`, in order."""

    def find(
        self, *, user_id: str | None = None, unfinished: bool = False, limit: int = 100
    ) -> Sequence[ConversationRow]:
        """Return conversations, the latest first.

        `unfinished` leaves only those whose end was never recorded and that no living process goes on writing to.
        """

    def put_blob(self, conversation: str, name: str, chunks: Iterable[bytes]) -> None:
        """Store bytes under a name, whole or not at all, replacing what was there. Durable when it returns."""

    def get_blob(self, conversation: str, name: str) -> Iterator[bytes]:
        """Yield the bytes in chunks; raises `StoreError` where there are none of that name."""

    def has_blob(self, conversation: str, name: str) -> bool:
        """Return whether there are bytes of that name."""

    def delete_blob(self, conversation: str, name: str) -> None:
        """Remove the bytes of that name. Does nothing where there are none."""

    def passages(self, conversation: str) -> Iterator[Passage]:
        """Yield what was said, in the order in which it began to be stored; `trim` leaves it whole."""

    def search(self, text: str, *, user_id: str | None = None, limit: int = 100) -> Sequence[Passage]:
        """Return the passages that hold all words of `text`, the latest first.

        Case and accents do not count; words between double quotes stand side by side; a word may end in ``*`` to
        stand for all that begin so. A passage is found from when it is over: a pause, some fifty words, or the end.
        """

    def trim(self, conversation: str, *, events: int, snapshots: int) -> None:
        """Drop the oldest events and snapshots of a conversation above these numbers, and count them in its row.

        Only what lies before the latest snapshot is dropped, and never what a conversation's tokens depend on: how
        it was opened, what was injected, lost or restarted, when it was parked, and how it ended.
        """

    def purge(self, before_s: float) -> str | None:
        """Delete one conversation whose latest event is older than `before_s`, and return its id; None for none."""

    def delete(self, conversation: str) -> None:
        """Remove all of a conversation for good, down to the bytes. Does nothing where there is none."""


class SharedStore(StateStore, Protocol):
    """A store that the kernels of several processes use at the same time.

    A conversation belongs to the process that stored an event of it or claimed it last, until that releases it or lives
    no more. `append` raises `coda_core.errors.ConversationTaken` for one that another living process has.
    """

    def claim(self, conversation: str) -> bool:
        """Take a stored conversation for this process; return False where another living process has it.

        Of several processes that claim it at the same time, one gets it.
        """

    def release(self, conversation: str) -> None:
        """Give a conversation up, so that any process may claim it. Does nothing where it is not this process's."""


# Audio source and transport


class AudioSource(Protocol):
    """Yields the blocks that feed the local conversation. On L."""

    format: AudioFormat
    live: bool
    """True where blocks come at their own pace, as from a microphone; others are paced by the kernel where the
    streaming manager works in real time."""

    def blocks(self) -> AsyncGenerator[Block, None]:
        """Yield blocks until there are no more: an async generator, closed where the conversation ends earlier."""


class Transport(Protocol):
    """Carries conversations to a peer. On L."""

    async def run(self, kernel: Kernel, ready: Callable[[], None]) -> None:
        """Serve until there is nothing more to do, or until cancelled.

        Call `ready` once, when listening or subscribed: the audio source starts when every transport is ready.
        """


# Streaming manager


@attrs.frozen(kw_only=True)
class Distribution:
    """Where a measured quantity lay, in the unit of its name."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    maximum: float


def _share(lost: int, kept: int) -> float:
    return lost / (lost + kept) if lost else 0.0


@attrs.frozen(kw_only=True)
class LaneMeasures:
    """Counters and latencies of one conversation since it was opened."""

    frames: int
    """Steps done."""
    queued_frames: int
    next_frame: int
    """Index that the next whole frame of input will have: a caller that was cut off sends again from there."""
    dropped_frames: int
    """Input frames lost to a full queue."""
    late_frames: int
    """Frames handed over later than one frame after their arrival; 0 where frames are not due in real time."""
    filled_frames: int
    """Frames of silence that stood in for missing input."""
    nan_samples: int
    """Samples that were not finite and became silence."""
    paused: bool
    lateness_s: Distribution
    end_to_end_s: Distribution
    """Last sample of a frame in, to its answer handed over."""
    queue_s: Distribution = Distribution(count=0, mean=0.0, p50=0.0, p95=0.0, p99=0.0, maximum=0.0)
    """Last sample of a frame in, to the start of its step; a manager that does not measure it leaves it out."""

    @property
    def drop_rate(self) -> float:
        """Input frames lost, as a share of all that came in."""
        return _share(self.dropped_frames, self.frames + self.queued_frames)


@attrs.frozen(kw_only=True)
class FollowerMeasures:
    """How a follower kept to its time since the streaming manager started."""

    calls_s: Mapping[str, Distribution]
    """How long its calls took: ``feed``, ``open``, ``export``, ``close``, and ``call`` for all else."""
    overruns: Mapping[str, int]
    """Calls that took longer than their budget, by the same names."""
    failures: int
    """Calls of ``feed`` and ``open`` that raised."""
    quarantine: str = ""
    """Why it is left out: ``slow``, ``failing`` or ``hung``; empty while it is not."""


@attrs.frozen(kw_only=True)
class Measures:
    """What a streaming manager measured since it started."""

    capacity: int
    """Conversations that may be live at once."""
    live: int
    paused: int
    load: float
    """Recent p95 of the step time as a share of one frame; with what other models take of the same worker."""
    realtime_factor: float
    """Audio seconds stepped per second that the worker was busy, over all conversations."""
    frames: int
    dropped_frames: int
    late_frames: int
    skipped_records: Mapping[str, int]
    """Records that each follower was too slow for."""
    cpu_cores: float
    """Processor cores that this process kept busy since the measures were last read."""
    resident_bytes: int
    """Memory of this process."""
    stages_s: Mapping[str, Distribution]
    """``queue``, ``encode``, ``model``, ``decode``, ``step``, ``hand_over``, ``end_to_end``, ``lateness``, and
    ``follow:LABEL`` for each follower."""
    conversations: Mapping[str, LaneMeasures]
    followers: Mapping[str, FollowerMeasures] = attrs.field(factory=dict)
    """By label; empty where a manager does not measure them."""

    @property
    def drop_rate(self) -> float:
        """Input frames lost, as a share of those lost and those stepped."""
        return _share(self.dropped_frames, self.frames)


@attrs.frozen(kw_only=True)
class Measured(Event):
    """The measures of a streaming manager, told to observers every few seconds. Of no conversation; not stored."""

    type: ClassVar[str] = "measured"

    measures: Measures


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
