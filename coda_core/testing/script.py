"""One slot of `coda_core.testing.ScriptedProcessor`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import attrs

from coda_core.commands import Cancel, Command, Interrupt, ReceiptStatus, Say
from coda_core.text import Vocabulary

__all__ = ["ScriptedSlot"]


@attrs.define
class _Wanted:
    """A `Say` that is not over."""

    say: Say
    given: int
    first_since: int | None = None
    """The step at which it was first in line."""
    said: int = 0
    """Words that are out."""


class ScriptedSlot:
    """What a slot has lived through, and what it is still to do."""

    def __init__(self, vocabulary: Vocabulary, *, silent: bool = False) -> None:
        self.steps = 0
        self.prompt = 0
        """Steps of the prompt that are still to come; they do not count as `steps`."""
        self.quiet = False
        """Whether the last step was to be silent."""
        self._vocabulary = vocabulary
        self._silent_until: int | None = None
        self._silent = silent
        self._wanted: list[_Wanted] = []
        self._notices: list[tuple[int, ReceiptStatus]] = []

    def command(self, command: Command) -> None:
        if isinstance(command, Say):
            self._wanted.append(_Wanted(command, self.steps))
        elif isinstance(command, Cancel):
            self._drop([each for each in self._wanted if each.say.id == command.id], "cancelled")
        elif isinstance(command, Interrupt):
            self._drop(self._wanted, "cancelled")
            self._silent = True
            self._silent_until = None if command.frames is None else self.steps + command.frames

    def step(self, script: Sequence[int], caller_speaking: bool) -> tuple[int, bool]:
        """Advance; return the token and whether it was forced."""
        if self.prompt:
            self.prompt -= 1
            self.quiet = True
            return self._vocabulary.padding, True
        natural = script[self.steps % len(script)]
        if caller_speaking:
            self._silent = False
            self._drop([each for each in self._wanted if each.say.yields], "cancelled")
        elif self._silent_until is not None and self.steps >= self._silent_until:
            self._silent = False
        if not self._silent:
            self._silent_until = None
        overdue = [
            each
            for each in self._wanted
            if not each.said
            and each.say.expires_frames is not None
            and self.steps - each.given >= each.say.expires_frames
        ]
        self._drop(overdue, "expired")
        self.quiet = self._silent
        token, injected = (self._vocabulary.padding, False) if self._silent else self._spoken(natural)
        self.steps += 1
        return token, injected

    def take_notices(self) -> Sequence[tuple[int, ReceiptStatus]]:
        notices, self._notices = self._notices, []
        return notices

    def export(self) -> Mapping[str, Any]:
        return {
            "steps": self.steps,
            "prompt": self.prompt,
            "silent": self._silent,
            "silent_until": self._silent_until,
            "wanted": [attrs.asdict(each) for each in self._wanted],
            "notices": self._notices,
        }

    @classmethod
    def restored(cls, vocabulary: Vocabulary, state: Mapping[str, Any]) -> Self:
        slot = cls(vocabulary, silent=state["silent"])
        slot.steps, slot.prompt, slot._silent_until = state["steps"], state["prompt"], state["silent_until"]
        slot._wanted = [_Wanted(**{**each, "say": Say(**each["say"])}) for each in state["wanted"]]
        slot._notices = [(command, status) for command, status in state["notices"]]
        return slot

    def _spoken(self, natural: int) -> tuple[int, bool]:
        first = next(iter(self._wanted), None)
        if first is None:
            return natural, False
        if first.first_since is None:
            first.first_since = self.steps
        onset = natural in self._vocabulary.word_starts
        if not (first.said or onset or self.steps - first.first_since >= first.say.deadline_frames):
            return natural, False
        words = first.say.text.split()
        if not first.said:
            self._notices.append((first.say.id, "started"))
        word = words[first.said].encode()
        first.said += 1
        if first.said == len(words):
            self._drop([first], "finished")
        pieces = self._vocabulary.pieces
        return (pieces.index(word) if word in pieces else 1), True

    def _drop(self, over: Sequence[_Wanted], status: ReceiptStatus) -> None:
        self._notices += [(each.say.id, status) for each in over]
        self._wanted = [each for each in self._wanted if each not in over]
