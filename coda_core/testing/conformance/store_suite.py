"""What the parts of the suite of state stores share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from coda_core.events import Closed, Event, Opened
from coda_core.testing.conformance.component import Conformance
from coda_core.testing.conformance.store_opening import Elsewhere, opened
from coda_core.text import ExtractedText

__all__ = ["StoreSuite", "talk"]


class StoreSuite(Conformance):
    """Opens the store under test, here and in other processes.

    Every test has a folder of its own. Whatever `config` returns for one folder is one store, empty at first, in
    whichever process it is opened.
    """

    durable: ClassVar[bool] = True
    """Whether what is stored outlives the process. Only False where the store's documentation says so."""
    kills: ClassVar[int] = 10
    """How often a process that writes is killed."""

    def opened(self, folder: Path) -> AbstractContextManager[Any]:
        """Open the store of a folder; it is closed at the end of the block."""
        return opened(self.component, self.config(folder), self.context(folder))

    @contextmanager
    def starting(self, folder: Path) -> Iterator[Callable[..., Elsewhere]]:
        """What starts ``act(store, pipe, ...)`` with the store of a folder in another process; at the end of the
        block all that were started are killed."""
        with ExitStack() as exits:

            def start(act: Callable[..., None], *args: object) -> Elsewhere:
                started = Elsewhere.start(self.component, self.config(folder), folder, self.patience_s, act, *args)
                exits.callback(started.kill)
                return started

            yield start

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Any]:
        """An empty store."""
        with self.opened(tmp_path) as store:
            yield store

    @pytest.fixture
    def start(self, tmp_path: Path) -> Iterator[Callable[..., Elsewhere]]:
        """Starts other processes with the store of the test's folder."""
        with self.starting(tmp_path) as start:
            yield start


def talk(conversation: str, words: Sequence[str] = (), user_id: str | None = None, time_s: float = 0.0) -> list[Event]:
    """Return the events of a conversation that is over: opened, a word each second, closed."""
    said = [
        ExtractedText(
            conversation=conversation,
            sequence=at + 1,
            frame=at,
            time_s=time_s + at,
            text=word,
            start_s=at * 0.08,
            end_s=at * 0.08 + 0.08,
            confidence=0.5,
            tokens=(at, at + 1),
        )
        for at, word in enumerate(words, start=1)
    ]
    end = len(words) + 1
    return [
        Opened(conversation=conversation, sequence=1, time_s=time_s, user_id=user_id, options={"seed": 7}),
        *said,
        Closed(conversation=conversation, sequence=end + 1, time_s=time_s + end, frames=end),
    ]
