"""Who speaks in a demo: the recording that comes with Coda, or one of the user's."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import attrs
import soundfile

from coda_core.text import ExtractedText

__all__ = ["Caller", "chosen_caller"]


@attrs.frozen(kw_only=True)
class Caller:
    """A recording, and what is known of it beforehand."""

    path: Path
    questions: tuple[ExtractedText, ...] = ()
    """What is said in it and when; empty where nobody wrote it down."""

    @property
    def length_s(self) -> float:
        """0.0 for what is no readable sound file."""
        try:
            return float(soundfile.info(self.path).duration)
        except (OSError, RuntimeError, TypeError):
            return 0.0


@contextmanager
def chosen_caller(path: Path | None) -> Iterator[Caller]:
    """Yield the caller in a file, or the one that comes with Coda where none is named."""
    if path is not None:
        yield Caller(path=path)
        return
    folder = resources.files("coda_core.cli.demo") / "recording"
    written = tomllib.loads((folder / "caller.toml").read_text("utf-8"))
    with resources.as_file(folder / "caller.flac") as shipped:
        yield Caller(path=shipped, questions=tuple(_question(**entry) for entry in written["questions"]))


def _question(*, intent: str, text: str, start_s: float, end_s: float) -> ExtractedText:
    """`intent` is its name in the script of what the demo checkpoint was taught."""
    return ExtractedText(text=text, start_s=start_s, end_s=end_s, confidence=1.0, speaker="caller", unit="phrase")
