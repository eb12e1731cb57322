"""The kind `monologue_extractor`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from coda_core.interfaces.follower import Follower
from coda_core.text import ExtractedText

__all__ = ["MonologueExtractor"]


class MonologueExtractor(Follower, Protocol):
    """Turns a conversation's steps into `ExtractedText`."""

    def text(self, conversation: str, last_s: float) -> Sequence[ExtractedText]:
        """Return the retained text that ends within the last `last_s` seconds of the conversation."""
