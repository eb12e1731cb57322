"""Opening the store that conversations lie in, and one conversation as it was stored."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import attrs

from coda_core.audio import FRAME_S
from coda_core.cli.component_config import component_config
from coda_core.clock import SystemClock
from coda_core.config import ResolvedStack, Stack, read_stack, resolve
from coda_core.errors import CodaError
from coda_core.events import Closed, Event, Opened, Parked, Unparked
from coda_core.interfaces import Context, ConversationRow, StateStore
from coda_core.paths import cache_dir
from coda_core.plugins import load_plugins, require
from coda_core.state import Passage, Snapshot
from coda_core.text import ExtractedText

__all__ = ["ALL", "DEFAULT_STACK", "Story", "find_row", "opened_store", "read_story"]

DEFAULT_STACK = Path("stack.toml")
ALL = 2**31 - 1
"""As a limit: as many as there are."""


@attrs.frozen(kw_only=True)
class Story:
    """What a store holds of one conversation."""

    row: ConversationRow
    events: tuple[Event, ...]
    """Those that are still kept: old ones are trimmed."""
    passages: tuple[Passage, ...]
    """All that was said."""

    @property
    def opened(self) -> Opened | None:
        return next((event for event in self.events if isinstance(event, Opened)), None)

    @property
    def status(self) -> str:
        """How it ended; where it did not, ``open``, ``parked``, or ``interrupted`` where it can go on after a kill."""
        for event in reversed(self.events):
            match event:
                case Closed():
                    return event.reason
                case Parked():
                    return "interrupted" if event.reason == "interrupted" else "parked"
                case Unparked():
                    return "open"
        return "open"

    @property
    def duration_s(self) -> float:
        """Seconds of conversation: steps, not wall time."""
        return FRAME_S * max((event.frame for event in self.events if event.frame is not None), default=0)

    @property
    def texts(self) -> list[ExtractedText]:
        """What was said, in order, as the first extractor found it."""
        if not self.passages:
            return []
        extractor = self.passages[0].extractor
        asked = {(text.start_s, text.text) for text in self._extracted if text.injected}
        texts = [
            ExtractedText(
                text=word.text,
                start_s=word.start_s,
                end_s=word.end_s,
                confidence=word.confidence,
                speaker=passage.speaker,
                extractor=extractor,
                injected=(word.start_s, word.text) in asked,
            )
            for passage in self.passages
            if passage.extractor == extractor
            for word in passage.words
        ]
        return sorted(texts, key=lambda text: text.start_s)

    @property
    def snapshot(self) -> Snapshot | None:
        """The latest summary of it, None where there is none yet."""
        return next((event for event in reversed(self.events) if isinstance(event, Snapshot)), None)

    @property
    def _extracted(self) -> list[ExtractedText]:
        return [event for event in self.events if isinstance(event, ExtractedText)]


def chosen_stack(stack: Path | None, database: Path | None, overrides: Sequence[str]) -> ResolvedStack:
    """Return the stack whose store is to be read; raises `ConfigError`."""
    if database is not None:
        registry = load_plugins()
        store = component_config(registry, "state_store", "sqlite", source="--database", path=database.absolute())
        return resolve(Stack(state_store=store), registry)
    if stack is None and DEFAULT_STACK.is_file():
        stack = DEFAULT_STACK
    if stack is None:
        return resolve(Stack(base_dir=Path.cwd()), load_plugins())
    return resolve(*read_stack(stack, overrides=overrides))


@contextmanager
def opened_store(
    stack: Path | None, database: Path | None, overrides: Sequence[str] = ()
) -> Iterator[tuple[StateStore, str]]:
    """Open the state store of a stack, or a database of the store `sqlite`; nothing else is built.

    Yields it with its label. Raises `CodaError` where there is none: reading must not make an empty one.
    """
    resolved = chosen_stack(stack, database, overrides)
    for value in attrs.asdict(resolved.state_store.config, recurse=False).values():
        if isinstance(value, Path) and not (resolved.base_dir / value).exists():
            raise CodaError(
                f"there is no {resolved.base_dir / value}: no conversation was stored there yet. "
                "Name the stack that stores them with --stack, or a database with --database."
            )
    with asyncio.Runner() as runner:
        held = _entered(resolved)
        store = runner.run(held.__aenter__())
        try:
            yield store, resolved.state_store.label
        finally:
            runner.run(_left(held))


async def _left(held: AbstractAsyncContextManager[StateStore]) -> None:
    await held.__aexit__(None, None, None)


@asynccontextmanager
async def _entered(resolved: ResolvedStack) -> AsyncIterator[StateStore]:
    chosen = resolved.state_store
    require(chosen.registered)
    context = Context(
        base_dir=resolved.base_dir,
        cache_dir=cache_dir(),
        clock=SystemClock(),
        logger=logging.getLogger(f"coda.state_store.{chosen.label}"),
        progress=lambda _what, _done, _total: None,
    )
    factory: Any = chosen.registered.component.factory(chosen.config, context)
    if isinstance(factory, AbstractAsyncContextManager):
        async with factory as store:
            yield store
    else:
        with factory as store:
            yield store


def find_row(store: StateStore, wanted: str) -> ConversationRow:
    """Return the conversation whose id is or begins with `wanted`; raises `CodaError` for none and for several."""
    found = [row for row in store.find(limit=ALL) if row.conversation.startswith(wanted)]
    exact = [row for row in found if row.conversation == wanted]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if not found:
        raise CodaError(f'there is no conversation whose id begins with "{wanted}"; `coda conversations list` has them')
    several = ", ".join(row.conversation[: len(wanted) + 6] for row in found[:5])
    raise CodaError(f'"{wanted}" may be one of {len(found)} conversations ({several}...); give more of the id')


def read_story(store: StateStore, wanted: str) -> Story:
    """Return the conversation whose id is or begins with `wanted`; raises `CodaError`."""
    row = find_row(store, wanted)
    return Story(
        row=row, events=tuple(store.events(row.conversation)), passages=tuple(store.passages(row.conversation))
    )
