"""The caller's speech as the protocol tells of it: begun, stopped, and committed as an item. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coda_core import AudioFrame

from coda_openai_realtime.items import Item, Items, added, done
from coda_openai_realtime.naming import new_id
from coda_openai_realtime.refusal import Refused

__all__ = ["Turns"]

Events = list[dict[str, Any]]


class Turns:
    """Those of one session."""

    def __init__(self, items: Items, client_s: Callable[[float], float]) -> None:
        """`client_s` turns a time of the conversation into one of the client's audio, both in seconds."""
        self._items = items
        self._client_s = client_s
        self._speaking = False
        self._item_id: str | None = None
        """Of the turn that the client was told of and that goes on."""
        self._uncommitted = False

    def heard(self) -> None:
        """Audio of the client's has come in."""
        self._uncommitted = True

    def cleared(self) -> None:
        """The client has thrown away what it has not committed."""
        self._uncommitted = False
        self._item_id = None

    def frame(self, frame: AudioFrame, *, detect: bool) -> tuple[bool, Events]:
        """Take a frame; return whether the caller has just begun to speak, and what the client is told."""
        began, ended = frame.caller_speaking and not self._speaking, self._speaking and not frame.caller_speaking
        self._speaking = frame.caller_speaking
        if began and detect:
            self._item_id = new_id("item")
            return True, [self._told("started", "audio_start_ms", frame)]
        if ended and self._item_id is not None:
            stopped = self._told("stopped", "audio_end_ms", frame)
            return False, [stopped, *self._commit()]
        return began, []

    def commit(self) -> Events:
        """The client says that its turn is over. Raises `Refused` where it has sent nothing since the last one."""
        if not self._uncommitted:
            raise Refused(
                code="input_audio_buffer_commit_empty",
                message="Error committing input audio buffer: the buffer is empty. Append audio first.",
            )
        return self._commit()

    def _told(self, what: str, when: str, frame: AudioFrame) -> dict[str, Any]:
        at_s = self._client_s(frame.start_s)
        return {"type": f"input_audio_buffer.speech_{what}", when: round(at_s * 1000), "item_id": self._item_id}

    def _commit(self) -> Events:
        item = Item(role="user", content_type="input_audio", id=self._item_id or new_id("item"))
        self._item_id = None
        self._uncommitted = False
        previous = self._items.add(item)
        return [
            {"type": "input_audio_buffer.committed", "previous_item_id": previous, "item_id": item.id},
            added(item, previous),
            done(item, previous),
        ]
