"""Everything beside the model that decides what one slot says: its prompt, its silence, the texts it was asked for.

Order of precedence: a prompt is taken in first and nothing else moves until it is; then a silence; then texts in line;
else the model is left alone. A text that is given during a silence ends it. Invariants:

- Called once before and once after every step of the slot, in that order, while it is not at rest.
- What is said of a step belongs to that step's output, which lags behind what was chosen in it.
- It says the same in any slot of any process: `export` returns plain values, of which `restored` makes an equal one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import attrs
import numpy as np
from numpy.typing import NDArray

from coda_core.commands import Cancel, Command, Interrupt, Say
from coda_core.errors import ModelError
from coda_moshi.injection import Injections, Marks, Words
from coda_moshi.injection_rule import InjectionRule
from coda_moshi.onsets import Wish
from coda_moshi.prompting import Prompt
from coda_moshi.silence import Silence

__all__ = ["Directive", "Manner", "SlotScript"]

_NO_PROMPT = Prompt((), np.zeros((0, 0), np.float32), "")


@attrs.frozen(kw_only=True)
class Manner:
    """What all slots of a model have in common."""

    rule: InjectionRule
    padding: int
    end_of_padding: int
    text_tokens: int
    """How many text tokens there are."""
    text_lag: int
    """How many steps later a text token comes out than it was chosen."""
    audio_lag: int
    """The same of a frame of audio."""


class Directive(NamedTuple):
    """What one slot's next step is told."""

    tokens: tuple[int, int, int] | None = None
    """Text token for each `Wish`; None leaves the model's own."""
    prompting: bool = False
    """Whether it takes in a prompt: the caller is not heard, and the audio is given."""
    voice: NDArray[np.float32] | None = None
    """``[frame_samples]``, the audio that a prompt gives; None for silence."""
    silent: bool = False
    """Whether the audio tokens are those of silence."""
    hidden: bool = False
    """Whether what comes out is no part of the conversation."""
    muted: bool = False
    """Whether nothing of what comes out may be heard."""
    fading: bool = False
    """Whether it is the first of the steps that are muted."""


class SlotScript:
    """The script of a conversation that begins.

    `prompt` is what it has to take in yet. Where it went on from a slot that had taken one in, `prompted` says so.
    """

    def __init__(
        self, manner: Manner, *, prompt: Prompt | None = None, prompted: bool = False, greeting: bool = True
    ) -> None:
        self._manner = manner
        self._injections = Injections(manner.rule, manner.padding, manner.end_of_padding)
        self._prompt = prompt or _NO_PROMPT
        self._next = 0
        self._hidden = manner.audio_lag if prompted else 0
        self._silence = None if greeting else Silence()
        self._muted = 0
        self._audible = greeting
        self._directive = Directive()
        # What was chosen in the latest steps and has not come out yet.
        self._coming: deque[Marks] = deque()

    @property
    def prompt_steps(self) -> int:
        """Steps until the prompt is taken in."""
        return len(self._prompt.tokens) - self._next

    @property
    def prompt_key(self) -> str:
        """`Prompt.key` of its prompt, empty where there is none or a part of it was taken in elsewhere."""
        return self._prompt.key

    @property
    def at_rest(self) -> bool:
        """Whether steps may pass it by."""
        waiting = self.prompt_steps or self._silence is not None or self._hidden or self._muted or not self._audible
        return not waiting and not self._injections.pending and all(marks == Marks() for marks in self._coming)

    def command(self, command: Command, words: Words = (), *, caller_speaking: bool = False) -> None:
        """Take a command; `words` are the pieces of what a `Say` says."""
        if isinstance(command, Say):
            self._silence = None
            self._injections.say(command, words)
        elif isinstance(command, Cancel):
            self._injections.cancel(command.id)
        elif isinstance(command, Interrupt):
            self._injections.cancel_all()
            self._silence = Silence(left=command.frames, interrupts_caller=caller_speaking)

    def before(self, caller_speaking: bool, *, was_speaking: bool) -> Directive:
        """Return what the step that now begins is told; `was_speaking` is the caller in the step before it."""
        self._directive = self._decided(caller_speaking, was_speaking)
        return self._directive

    def after(self, wish: Wish) -> Marks:
        """Take note of what the model wished; return what belongs to the output of this step."""
        if self._directive.prompting:
            self._next += 1
            if not self.prompt_steps:
                self._hidden = self._manner.audio_lag
            return Marks()
        self._hidden = max(0, self._hidden - 1)
        if self._silence is not None:
            self._silence.took(wish)
        # While nothing is planned this takes note of the time, and of what was given up.
        self._coming.append(self._injections.took(wish))
        return self._coming.popleft() if len(self._coming) > self._manner.text_lag else Marks()

    def export(self) -> tuple[dict[str, Any], NDArray[np.float32]]:
        """Return what `restored` takes: types that JSON has, and the audio of the prompt that is left."""
        fields = {
            "injections": self._injections.export(),
            "silence": None if self._silence is None else self._silence.export(),
            "prompt": list(self._prompt.tokens[self._next :]),
            "hidden": self._hidden,
            "muted": self._muted,
            "audible": self._audible,
            "coming": [[marks.injected, [list(change) for change in marks.changes]] for marks in self._coming],
        }
        return fields, self._prompt.voice[self._next :].copy()

    @classmethod
    def restored(cls, manner: Manner, state: Mapping[str, Any], voice: NDArray[np.float32]) -> Self:
        """Return the script that `export` was called on; raises `ModelError` for anything else."""
        tokens = range(manner.text_tokens)
        try:
            pieces = tuple(tokens[int(piece)] for piece in state["prompt"])
            script = cls(manner, prompt=Prompt(pieces, voice, ""))
            script._injections.restore(state["injections"], tokens)
            script._silence = None if state["silence"] is None else Silence.restored(state["silence"])
            script._hidden, script._muted = int(state["hidden"]), int(state["muted"])
            script._audible = bool(state["audible"])
            script._coming = deque(
                Marks(bool(injected), tuple((int(number), status) for number, status in changes))
                for injected, changes in state["coming"]
            )
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"the parked state of a slot is damaged: its script is not sound ({error!r})") from error
        return script

    def _decided(self, caller_speaking: bool, was_speaking: bool) -> Directive:
        alone = (self._manner.padding,) * 3
        if self.prompt_steps:
            voice = self._prompt.pcm(self._next)
            return Directive((self._prompt.tokens[self._next],) * 3, prompting=True, voice=voice, hidden=True)
        if caller_speaking and not was_speaking:
            self._injections.yield_to_caller()
        if self._silence is not None and not self._silence.holds(caller_speaking):
            self._silence = None
        silent = self._silence is not None
        if silent:
            self._muted = self._manner.audio_lag
        muted = silent or self._muted > 0
        if muted and not silent:
            # What was chosen in the last silent steps comes out yet.
            self._muted -= 1
        fading, self._audible = muted and self._audible, not muted
        tokens = alone if silent else self._injections.plan()
        return Directive(tokens, silent=silent, hidden=self._hidden > 0, muted=muted, fading=fading)
