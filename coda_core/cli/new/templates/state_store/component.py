"""The state store `example`.

What every store does alike, such as summing up a conversation or gathering words into passages, is in
`coda_core.storing`. Here is how things are kept: `events.jsonl` has a line for each event and for each `trim`, and
behind each batch a line that says that it is whole; what lies behind the last such line was not acknowledged, and is
cut off. In memory is where each line begins, and what was said.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

import attrs
from coda_core import Closed, Context, Event, ExtractedText, StoreError
from coda_core.interfaces import ConversationRow
from coda_core.state import Passage
from coda_core.storing import LASTING, Draft, advance, decode, encode, folded, gather, holds, wanted

from coda_example.files import replaced, writing
from coda_example.register import ExampleConfig

_WHOLE = b'{"batch":"whole"}\n'


@attrs.define
class _Kept:
    """One conversation."""

    row: ConversationRow
    lines: dict[int, tuple[int, int, str]] = attrs.field(factory=dict)
    """Where the event of each number is, how long it is, and its type."""
    drafts: dict[Draft, None] = attrs.field(factory=dict)


class Example:
    """One process at a time has it open: another is refused."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "events.jsonl"
        self._blobs = folder / "blobs"
        self._kept: dict[str, _Kept] = {}
        self._end = 0
        """Length of the file as far as it is whole."""
        self._file: FileIO
        with writing(f"open {folder}"):
            self._blobs.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise StoreError(f"{folder} is in use by another process; give each its own folder") from None
        self._read()

    def shut(self) -> None:
        self._file.close()
        self._lock.close()

    # Events

    def append(self, events: Sequence[Event]) -> None:
        new: dict[str, dict[int, Any]] = {}
        for conversation, rows in encode(events).items():
            kept = self._kept.get(conversation)
            fresh = {at: row for at, row in rows.items() if kept is None or at not in kept.lines}
            if fresh:
                new[conversation] = fresh
        if not new:
            return
        at = self._end
        places: list[tuple[str, int, int]] = []
        lines: list[bytes] = []
        for conversation, fresh in new.items():
            for row in fresh.values():
                lines.append(row.payload.encode() + b"\n")
                places.append((conversation, at, len(lines[-1])))
                at += len(lines[-1])
        self._write(b"".join(lines))
        told = [row.event for fresh in new.values() for row in fresh.values()]
        self._take([(event, start, length) for event, (_, start, length) in zip(told, places, strict=True)])

    def events(self, conversation: str, after: int = 0) -> Iterator[Event]:
        kept = self._kept.get(conversation)
        for number in sorted(number for number in (kept.lines if kept else ()) if number > after):
            if kept is not None and number in kept.lines:
                start, length, _ = kept.lines[number]
                yield decode(os.pread(self._file.fileno(), length, start).decode(), conversation)

    def find(
        self, *, user_id: str | None = None, unfinished: bool = False, limit: int = 100
    ) -> Sequence[ConversationRow]:
        # Reversed before a stable sort: of two that opened at the same moment the later one comes first.
        rows = [kept.row for kept in reversed(self._kept.values()) if user_id in (None, kept.row.user_id)]
        rows = [row for row in rows if not (unfinished and row.closed_s is not None)]
        return sorted(rows, key=lambda row: -row.opened_s)[: max(limit, 0)]

    # Bytes under a name

    def put_blob(self, conversation: str, name: str, chunks: Iterable[bytes]) -> None:
        path = self._blob(conversation, name)
        with writing(f"store {name!r} of conversation {conversation}"):
            path.parent.mkdir(exist_ok=True)
        replaced(path, chunks)

    def get_blob(self, conversation: str, name: str) -> Iterator[bytes]:
        try:
            file = self._blob(conversation, name).open("rb")
        except FileNotFoundError:
            raise StoreError(f"conversation {conversation} has no stored {name!r}") from None

        def chunks() -> Iterator[bytes]:
            with file:
                while chunk := file.read(2**20):
                    yield chunk

        return chunks()

    def has_blob(self, conversation: str, name: str) -> bool:
        return self._blob(conversation, name).exists()

    def delete_blob(self, conversation: str, name: str) -> None:
        with writing(f"drop {name!r} of conversation {conversation}"):
            self._blob(conversation, name).unlink(missing_ok=True)

    def _blob(self, conversation: str, name: str) -> Path:
        # In hexadecimal: a name may be anything, also empty, or one that a file system takes for a folder.
        return self._blobs / f"c{conversation.encode().hex()}" / f"n{name.encode().hex()}"

    # What was said

    def passages(self, conversation: str) -> Iterator[Passage]:
        kept = self._kept.get(conversation)
        for draft in tuple(kept.drafts if kept else ()):
            yield draft.passage(conversation)

    def search(self, text: str, *, user_id: str | None = None, limit: int = 100) -> Sequence[Passage]:
        asked = wanted(text)
        found = [
            draft.passage(conversation)
            for conversation, kept in self._kept.items()
            if asked and user_id in (None, kept.row.user_id)
            for draft in kept.drafts
            if draft.complete and all(holds(folded(draft.text), each) for each in asked)
        ]
        return sorted(found, key=lambda passage: -passage.time_s)[: max(limit, 0)]

    # Dropping and deleting

    def trim(self, conversation: str, *, events: int, snapshots: int) -> None:
        if conversation in self._kept:
            order = {"trim": conversation, "events": events, "snapshots": snapshots}
            if self._trim(conversation, events, snapshots):
                self._write(json.dumps(order).encode() + b"\n")

    def purge(self, before_s: float) -> str | None:
        old = min(self._kept.values(), key=lambda kept: kept.row.last_s, default=None)
        if old is None or old.row.last_s >= before_s:
            return None
        self.delete(old.row.conversation)
        return old.row.conversation

    def delete(self, conversation: str) -> None:
        """Write the file anew without the conversation: nothing of it is left, and all others are as they were."""
        folder = self._blob(conversation, "").parent
        with writing(f"delete conversation {conversation}"):
            for path in folder.iterdir() if folder.exists() else ():
                path.unlink()
            with suppress(FileNotFoundError):
                folder.rmdir()
        if conversation in self._kept:
            replaced(self._path, (line for line in self._lines() if not _is_of(line, conversation)))
            self._file.close()
            self._read()

    def _trim(self, conversation: str, events: int, snapshots: int) -> bool:
        kept = self._kept[conversation]
        taken = [at for at in sorted(kept.lines) if kept.lines[at][2] == "snapshot"]
        others = [at for at in sorted(kept.lines) if kept.lines[at][2] not in (*LASTING, "snapshot")]
        latest = max(taken, default=0)
        # What is in no passage that is over would be lost to those who search.
        end = min([latest, *(draft.first_sequence for draft in kept.drafts if not draft.complete)])
        old = [at for at in others[: max(len(others) - events, 0)] if at < end]
        old_taken = [at for at in taken[: max(len(taken) - snapshots, 0)] if at < latest]
        for at in (*old, *old_taken):
            del kept.lines[at]
        kept.row = attrs.evolve(
            kept.row,
            events=len(kept.lines),
            dropped_events=kept.row.dropped_events + len(old),
            dropped_snapshots=kept.row.dropped_snapshots + len(old_taken),
        )
        return bool(old or old_taken)

    # The file

    def _write(self, lines: bytes) -> None:
        """Write a batch; durable when this returns, and not there at all where it raises."""
        rest, at, number = memoryview(lines + _WHOLE), self._end, self._file.fileno()
        try:
            with writing("store a batch of events"):
                while rest:
                    written = os.pwrite(number, rest, at)
                    rest, at = rest[written:], at + written
                os.fsync(number)
        except StoreError:
            with suppress(OSError):
                os.ftruncate(number, self._end)
            raise
        self._end = at

    def _lines(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            yield from file

    def _read(self) -> None:
        """Take in the file, as far as it is whole."""
        self._kept.clear()
        self._path.touch()
        at = self._end = 0
        orders: list[dict[str, Any]] = []
        told: list[tuple[Event, int, int]] = []
        for line in self._lines():
            start, at = at, at + len(line)
            if line == _WHOLE:
                self._take(told)
                for order in orders:
                    self._trim(order["trim"], order["events"], order["snapshots"])
                told, orders, self._end = [], [], at
            elif line.startswith(b'{"trim":') and line.endswith(b"\n"):
                orders.append(json.loads(line))
            elif line.endswith(b"\n"):
                told.append((decode(line.decode(), "in the file"), start, len(line)))
        with writing(f"open {self._path}"):
            self._file = self._path.open("r+b", buffering=0)
            self._file.truncate(self._end)

    def _take(self, told: Sequence[tuple[Event, int, int]]) -> None:
        """Note where events of one batch are, and what they change."""
        by_conversation: dict[str, list[tuple[Event, int, int]]] = {}
        for each in told:
            by_conversation.setdefault(each[0].conversation, []).append(each)
        for conversation, lines in by_conversation.items():
            kept = self._kept.get(conversation)
            events = [event for event, _, _ in lines]
            row = advance(kept.row if kept is not None else None, events)
            kept = self._kept.setdefault(conversation, _Kept(row))
            kept.row = row
            for event, start, length in lines:
                kept.lines[event.sequence] = (start, length, event.type)
            texts = [event for event in events if isinstance(event, ExtractedText)]
            growing = [draft for draft in kept.drafts if not draft.complete]
            over = any(isinstance(event, Closed) for event in events)
            kept.drafts.update(dict.fromkeys(gather(growing, texts, over=over)))


def _is_of(line: bytes, conversation: str) -> bool:
    found = json.loads(line)
    return conversation in (found.get("conversation"), found.get("trim"))


@asynccontextmanager
async def open_example(config: ExampleConfig, context: Context) -> AsyncIterator[Example]:
    """Open the folder on another thread, as a disk may be slow; cancelled meanwhile, it is closed all the same."""
    opening = asyncio.ensure_future(asyncio.to_thread(Example, config.path))
    try:
        store = await asyncio.shield(opening)
    except asyncio.CancelledError:
        await asyncio.wait([opening])
        if opening.exception() is None:
            opening.result().shut()
        raise
    try:
        yield store
    finally:
        store.shut()
