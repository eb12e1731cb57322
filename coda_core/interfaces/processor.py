"""The kind `processor`: what one is asked for, given and gives, and what it may be able to do beside stepping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict

import attrs

from coda_core.audio import FRAME_SAMPLES, SAMPLE_RATE_HZ
from coda_core.commands import Command, Notice
from coda_core.memory import MemoryUse
from coda_core.text import Vocabulary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Capability",
    "Commanded",
    "Parkable",
    "Processor",
    "ProcessorInfo",
    "Resizable",
    "SlotOptions",
    "SlotSettings",
    "StepInput",
    "StepOutput",
    "Watched",
]


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
