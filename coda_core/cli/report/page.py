"""What a report shows, and the page that shows it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Sequence
from functools import cache
from html import escape
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import attrs

from coda_core.text import ExtractedText

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Factor", "Mark", "Report", "Span", "Voices", "as_html"]

PEAKS_PER_S: Final = 100
"""Points of the drawn waveform in a second."""


@attrs.frozen
class Mark:
    """Something that happened at one moment."""

    at_s: float
    kind: str
    """``interruption``, ``drop``, ``fault``, ``injection`` or ``event``: how it is drawn."""
    label: str


@attrs.frozen
class Span:
    """Something that lasted, as a phase does."""

    start_s: float
    end_s: float
    label: str


@attrs.frozen
class Factor:
    """A quality score, or one of the things that it is made of."""

    label: str
    value: str
    """What was measured, in words."""
    points: float | None = None
    """What it gave, of at most `most`; None where there was too little to judge."""
    most: float = 0.0


@attrs.frozen(eq=False)
class Voices:
    """Both sides of a conversation on the step clock."""

    pcm: NDArray[np.float32]
    """``[samples, 2]``, full scale 1.0: the caller, then Moshi."""
    sample_rate_hz: int


@attrs.frozen(kw_only=True)
class Report:
    """What is known of one conversation. Times are in seconds on the step clock."""

    title: str
    duration_s: float
    facts: Sequence[tuple[str, str]] = ()
    """Label and value, in the order in which they are read."""
    texts: Sequence[ExtractedText] = ()
    phases: Sequence[Span] = ()
    marks: Sequence[Mark] = ()
    latency: Sequence[tuple[float, float]] = ()
    """When, and how many milliseconds after the last sample of a frame its answer was handed over."""
    frame_s: float = 0.08
    measures: Sequence[tuple[str, str]] = ()
    """Label and value of what was counted."""
    quality: Sequence[Factor] = ()
    """The score, then what it is made of."""
    voices: Voices | None = None
    """None where nothing was recorded."""


def as_html(report: Report) -> str:
    """Return the page: style, script, words, waveforms and the audio itself (FLAC) are in it.

    It asks no other host for anything, and says so to the browser in a Content-Security-Policy.
    """
    style, script = _part("report.css"), _part("report.js")
    data = json.dumps(_data(report), ensure_ascii=False, separators=(",", ":"))
    fill = {
        "TITLE": escape(report.title),
        "STYLE": style,
        "SCRIPT": script,
        "STYLE_HASH": _hash(style),
        "SCRIPT_HASH": _hash(script),
        # The one thing that could end a script element early.
        "DATA": data.replace("<", "\\u003c"),
        "AUDIO": _audio(report.voices),
    }
    page = _part("report.html")
    parts = page.split("{{")
    filled = [parts[0]]
    for part in parts[1:]:
        name, _, rest = part.partition("}}")
        filled += [fill[name], rest]
    return "".join(filled)


def _data(report: Report) -> dict[str, Any]:
    return {
        "title": report.title,
        "duration": round(report.duration_s, 3),
        "facts": [list(fact) for fact in report.facts],
        "words": [
            {
                "text": text.text,
                "start": round(text.start_s, 3),
                "end": round(text.end_s, 3),
                "confidence": round(text.confidence, 3),
                "speaker": text.speaker,
                "injected": text.injected,
            }
            for text in report.texts
        ],
        "phases": [[round(each.start_s, 3), round(each.end_s, 3), each.label] for each in report.phases],
        "marks": [[round(each.at_s, 3), each.kind, each.label] for each in report.marks],
        "latency": [[round(at, 3), round(value, 2)] for at, value in report.latency],
        "frameMs": round(1000 * report.frame_s, 3),
        "measures": [list(measure) for measure in report.measures],
        "quality": [[each.label, each.value, each.points, each.most] for each in report.quality],
        "peaksPerSecond": PEAKS_PER_S,
        "peaks": [] if report.voices is None else [_peaks(report.voices, side) for side in (0, 1)],
    }


def _peaks(voices: Voices, side: int) -> str:
    """Return the largest magnitude in every hundredth of a second, 0 to 255, as base64."""
    import numpy as np

    width = voices.sample_rate_hz // PEAKS_PER_S
    pcm = np.abs(voices.pcm[:, side])
    pcm = np.pad(pcm, (0, -len(pcm) % width)).reshape(-1, width)
    levels = np.clip(np.nan_to_num(pcm).max(axis=1, initial=0.0), 0, 1) * 255
    return base64.b64encode(levels.round().astype(np.uint8).tobytes()).decode()


def _audio(voices: Voices | None) -> str:
    if voices is None:
        return ""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, voices.pcm, voices.sample_rate_hz, format="FLAC", subtype="PCM_16")
    return f"data:audio/flac;base64,{base64.b64encode(file.getvalue()).decode()}"


@cache
def _part(name: str) -> str:
    return (resources.files("coda_core.cli.report") / name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
