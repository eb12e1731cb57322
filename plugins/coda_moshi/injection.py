"""The texts that one slot was asked to speak, in line, and which token comes next.

What the model itself would choose is known on the device in the middle of a step, and here only after it. So the
decision is taken before, for each of the three things that the model may wish (`Wish`), and the device looks up which
of them holds: no step waits for the host, and what a CUDA graph reads stays a tensor of fixed shape. Afterwards the
host is told what the wish was, and takes note of what was therefore done.

While a text is in line it owns every beginning: a word of the model's own becomes padding.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import attrs

from coda_core.commands import ReceiptStatus, Say
from coda_moshi.injection_rule import InjectionRule
from coda_moshi.onsets import Wish

__all__ = ["Injections", "Marks", "Words"]

Words = tuple[tuple[int, ...], ...]
"""Words of a text, each as its pieces."""


class Marks(NamedTuple):
    """What belongs to a token that was chosen."""

    injected: bool = False
    changes: tuple[tuple[int, ReceiptStatus], ...] = ()
    """Numbers of texts and what became of them."""


@attrs.define
class _Item:
    """A text in line."""

    id: int
    words: list[list[int]]
    """What is left of it."""
    deadline: int
    expires: int | None
    yields: bool
    age: int = 0
    """Steps since it was given."""
    waited: int = 0
    """Steps as first in line."""
    begun: bool = False


class Injections:
    """Says before each step of a slot what its text token shall be, and is told after it what the model wished.

    Plain values only: `export` and `restore` carry it to another slot or process.
    """

    def __init__(self, rule: InjectionRule, padding: int, end_of_padding: int) -> None:
        self._rule = rule
        self._padding = padding
        self._announcement = end_of_padding
        self._line: deque[_Item] = deque()
        self._word: list[int] = []
        self._announced = False
        self._since_word = rule.settle_frames
        self._plan: tuple[int, int, int] | None = None
        self._changes: list[tuple[int, ReceiptStatus]] = []

    @property
    def pending(self) -> bool:
        """Whether the next step has anything to do here."""
        return bool(self._line or self._changes) or self._since_word < self._rule.settle_frames

    @property
    def speaking(self) -> bool:
        """Whether a text has begun and is not over."""
        return bool(self._line) and self._line[0].begun

    def say(self, command: Say, words: Words) -> None:
        """Put a text at the end of the line; `words` are its pieces."""
        self._line.append(
            _Item(
                id=command.id,
                words=[list(word) for word in words],
                deadline=command.deadline_frames,
                expires=command.expires_frames,
                yields=command.yields,
            )
        )

    def cancel(self, number: int) -> None:
        """Give up the text of this number, if it is in line."""
        self._drop([item for item in self._line if item.id == number], "cancelled")

    def cancel_all(self) -> None:
        """Give up everything; nothing is planned until `plan` is called again."""
        self._drop(list(self._line), "cancelled")
        self._plan = None

    def yield_to_caller(self) -> None:
        """The caller begins to speak: give up what is being spoken, if it yields."""
        if self.speaking and self._line[0].yields:
            self.cancel(self._line[0].id)

    def plan(self) -> tuple[int, int, int] | None:
        """Return the token for each `Wish`, None where the model is left alone. Once before each step."""
        # Whoever was announced has begun, though no piece of it was forced yet.
        waiting = [item for item in self._line if not (item.begun or (self._announced and item is self._line[0]))]
        late = [item for item in waiting if item.expires is not None and item.age >= item.expires]
        self._drop(late, "expired")
        self._plan = self._tokens() if self._line else None
        return self._plan

    def took(self, wish: Wish) -> Marks:
        """Take note of a step: what the model wished, and so which token of the plan it got."""
        self._since_word += 1
        injected = False
        if self._plan is not None:
            for item in self._line:
                item.age += 1
            self._line[0].waited += 1
            token = self._plan[wish]
            injected = token != self._padding
            if injected:
                self._advance(token)
        changes = tuple(self._changes)
        self._changes.clear()
        return Marks(injected, changes)

    def export(self) -> dict[str, Any]:
        """Return what `restore` takes, in types that JSON has."""
        return {
            "line": [attrs.asdict(item) for item in self._line],
            "word": self._word,
            "announced": self._announced,
            "since_word": self._since_word,
            "changes": [list(change) for change in self._changes],
        }

    def restore(self, state: dict[str, Any], tokens: range) -> None:
        """Go on where `export` left off; raises LookupError, TypeError or ValueError for anything else.

        `tokens` are those that a model has: what is not among them is no piece.
        """
        self._line = deque(_item(fields, tokens) for fields in state["line"])
        self._word = [tokens[piece] for piece in state["word"]]
        self._announced = bool(state["announced"])
        self._since_word = int(state["since_word"])
        self._changes = [(int(number), status) for number, status in state["changes"]]
        # Of the first, the last word may be under way.
        if (self._word and not self._line) or any(not item.words for item in list(self._line)[bool(self._word) :]):
            raise ValueError("a text in line has no words left")

    def _tokens(self) -> tuple[int, int, int]:
        if self._word:
            return (self._word[0],) * 3
        item = self._line[0]
        first = item.words[0][0]
        if self._announced:
            return (first,) * 3
        beginning = self._announcement if self._rule.announce else first
        overdue = self._since_word >= self._rule.gap_frames if item.begun else item.waited >= item.deadline
        if overdue:
            return (beginning,) * 3
        if self._since_word < self._rule.settle_frames:
            return (self._padding,) * 3
        return (self._padding, self._announcement, beginning)

    def _advance(self, token: int) -> None:
        item = self._line[0]
        if not self._word:
            if token == self._announcement and not self._announced:
                self._announced = True
                return
            self._word = item.words.pop(0)
            self._announced = False
            if not item.begun:
                item.begun = True
                self._changes.append((item.id, "started"))
        self._word.pop(0)
        self._since_word = 0
        if not self._word and not item.words:
            self._line.popleft()
            self._changes.append((item.id, "finished"))

    def _drop(self, items: list[_Item], status: ReceiptStatus) -> None:
        for item in items:
            if item is self._line[0]:
                self._word = []
                self._announced = False
            # By identity: equality of two texts is no reason to take one for the other.
            self._line = deque(other for other in self._line if other is not item)
            self._changes.append((item.id, status))


def _item(fields: dict[str, Any], tokens: range) -> _Item:
    item = _Item(**fields)
    if not all(item.words):
        raise ValueError("a text in line has a word without pieces")
    item.words = [[tokens[piece] for piece in word] for word in item.words]
    return item
