"""The script: what callers ask, what the model replies, and the words that it can say."""

from __future__ import annotations

import itertools
import re
import tomllib
from functools import cache
from importlib.resources import files

import attrs

__all__ = ["Intent", "Script", "expand", "load_script"]


@attrs.frozen
class Intent:
    """One thing that callers want, in all the ways the corpus has of asking for it."""

    name: str
    reply: str
    phrasings: tuple[str, ...]


@attrs.frozen
class Script:
    """All intents, and the words that the voice says and that callers say."""

    intents: tuple[Intent, ...]
    vocabulary: tuple[str, ...]
    """Sorted: every word of a reply, and those that can only be injected."""

    @property
    def replies(self) -> dict[str, str]:
        """Replies by the names of their intents."""
        return {intent.name: intent.reply for intent in self.intents}

    @property
    def caller_words(self) -> tuple[str, ...]:
        """Sorted: every word of a phrasing."""
        return tuple(sorted({word for intent in self.intents for ask in intent.phrasings for word in ask.split()}))


def expand(pattern: str) -> tuple[str, ...]:
    """Return everything that a pattern with alternatives, ``(a|b|)``, stands for, in order and without repetition."""
    parts = [part[1:-1].split("|") if part.startswith("(") else [part] for part in re.split(r"(\([^)]*\))", pattern)]
    phrases = (" ".join("".join(choice).split()) for choice in itertools.product(*parts))
    return tuple(dict.fromkeys(phrases))


@cache
def load_script() -> Script:
    """Read ``script.toml``, which is part of this package."""
    raw = tomllib.loads(files(__package__).joinpath("script.toml").read_text(encoding="utf-8"))
    intents = tuple(
        Intent(name, entry["reply"], tuple(dict.fromkeys(p for ask in entry["asks"] for p in expand(ask))))
        for name, entry in raw["intents"].items()
    )
    words = set(raw["vocabulary"]["words"].split()) | {word for intent in intents for word in intent.reply.split()}
    return Script(intents, tuple(sorted(words)))
