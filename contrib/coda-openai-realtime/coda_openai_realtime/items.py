"""The conversation's items: what was said, as the protocol lists it."""

from __future__ import annotations

from typing import Any, Final, Literal

import attrs

from coda_openai_realtime.naming import new_id
from coda_openai_realtime.refusal import Refused

__all__ = ["Item", "Items", "added", "done"]

_KEPT: Final = 200
"""Items that are remembered of one session; older ones are forgotten."""

Status = Literal["in_progress", "completed", "incomplete"]


@attrs.define(eq=False, kw_only=True)
class Item:
    """One message."""

    role: str
    content_type: str
    """``input_text``, ``input_audio``, ``output_text`` or ``output_audio``."""
    id: str = attrs.field(factory=lambda: new_id("item"))
    status: Status = "completed"
    words: list[tuple[float, str]] = attrs.field(factory=list)
    """What was said, each piece with its start within the item's audio, in seconds. In the order of time."""
    audio_s: float = 0.0
    """Length of the audio that was sent."""
    has_content: bool = True

    @property
    def text(self) -> str:
        return "".join(word for _, word in self.words).strip()

    def cut(self, audio_s: float) -> None:
        """Forget what a listener has not heard."""
        self.audio_s = audio_s
        self.words = [each for each in self.words if each[0] < audio_s]

    def to_json(self) -> dict[str, Any]:
        """Return the item without its audio."""
        content: dict[str, Any] = {"type": self.content_type}
        if self.content_type.endswith("text"):
            content["text"] = self.text
        else:
            content["transcript"] = self.text if self.role == "assistant" else None
        return {
            "id": self.id,
            "object": "realtime.item",
            "type": "message",
            "status": self.status,
            "role": self.role,
            "content": [content] if self.has_content else [],
        }


class Items:
    """The latest items of one session, in order."""

    def __init__(self) -> None:
        self._items: list[Item] = []

    def __len__(self) -> int:
        return len(self._items)

    @property
    def last(self) -> str | None:
        """Id of the last one."""
        return self._items[-1].id if self._items else None

    def add(self, item: Item, after: str | None = None) -> str | None:
        """Put an item behind another, behind the last where none is given, before all for ``root``.

        Returns the id of the item before it. Raises `Refused` where its id is taken, or there is none to put it behind.
        """
        if any(each.id == item.id for each in self._items):
            raise Refused(
                code="item_id_taken", message=f"There is an item with the id '{item.id}' already.", param="item.id"
            )
        at = len(self._items)
        if after is not None:
            at = 0 if after == "root" else 1 + self._items.index(self.get(after, "previous_item_id"))
        self._items.insert(at, item)
        before = self._items[at - 1].id if at else None
        if len(self._items) > _KEPT:
            del self._items[0]
        return before

    def get(self, id: str, param: str = "item_id") -> Item:
        """Return an item; raises `Refused`."""
        for item in reversed(self._items):
            if item.id == id:
                return item
        raise Refused(code="item_not_found", message=f"There is no item with the id '{id[:80]}'.", param=param)

    def remove(self, id: str) -> Item:
        """Forget an item, and return it; raises `Refused`."""
        item = self.get(id)
        self._items.remove(item)
        return item


def added(item: Item, previous: str | None) -> dict[str, Any]:
    return {"type": "conversation.item.added", "previous_item_id": previous, "item": item.to_json()}


def done(item: Item, previous: str | None) -> dict[str, Any]:
    return {"type": "conversation.item.done", "previous_item_id": previous, "item": item.to_json()}
