"""Texts as columns have them: PostgreSQL takes any sign but the one whose number is 0."""

from __future__ import annotations

from typing import overload

__all__ = ["from_column", "to_column"]


@overload
def to_column(text: str) -> str: ...
@overload
def to_column(text: None) -> None: ...
def to_column(text: str | None) -> str | None:
    """Return a text with its zeros, and what stands for them, escaped."""
    return None if text is None else text.replace("\\", "\\\\").replace("\0", "\\0")


def from_column(text: str | None) -> str | None:
    """Return the text of `to_column`."""
    if text is None or "\\" not in text:
        return text
    return "\\".join(part.replace("\\0", "\0") for part in text.split("\\\\"))
