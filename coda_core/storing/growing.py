"""Passages that still grow, kept at hand between the calls in which their words come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from coda_core.storing.passages import Draft, gather
from coda_core.text import ExtractedText

__all__ = ["Growing"]

_CONVERSATIONS: Final = 1000

Unsaid = Callable[[], Sequence[ExtractedText]]
"""Reads the stored texts of a conversation that are in no stored passage, in order."""


class Growing:
    """A store keeps a passage when it is over, and its words as events before that.

    Of some thousand conversations what grows is at hand; of all others it is gathered from the stored events again.
    """

    def __init__(self) -> None:
        self._growing: dict[str, list[Draft]] = {}

    def take(self, conversation: str, texts: Sequence[ExtractedText], *, over: bool, unsaid: Unsaid) -> list[Draft]:
        """Take in new texts, whose events are stored; return the passages that are complete now, to be stored.

        Where the transaction is undone in which this was called, call `forget`.
        """
        growing = self._growing.pop(conversation, None)
        if growing is None:
            drafts = gather((), unsaid(), over=over)
        else:
            drafts = list(dict.fromkeys((*growing, *gather(growing, texts, over=over))))
        if not over:
            if len(self._growing) >= _CONVERSATIONS:
                self._growing.pop(next(iter(self._growing)))
            self._growing[conversation] = [draft for draft in drafts if not draft.complete]
        return [draft for draft in drafts if draft.complete]

    def forget(self, conversation: str) -> None:
        """Gather anew: the conversation was deleted, another process has it, or a transaction was undone."""
        self._growing.pop(conversation, None)

    def first(self, conversation: str, unsaid: Unsaid) -> int | None:
        """Return the number of the first event whose word is in no stored passage."""
        growing = self._growing.get(conversation)
        if growing is None:
            growing = gather((), unsaid(), over=False)
        return min((draft.first_sequence for draft in growing), default=None)
