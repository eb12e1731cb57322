"""What was said, as subtitles and as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from coda_core.text import ExtractedText, Speaker

__all__ = ["Cue", "as_srt", "as_text", "as_vtt", "cues"]

_LONGEST_CHARACTERS: Final = 84
"""Two lines of 42, as broadcasters use."""
_LONGEST_S: Final = 7.0
_PAUSE_S: Final = 0.8
"""A silence after which a new cue begins."""
_SENTENCE_ENDS: Final = (".", "?", "!")


@attrs.frozen(kw_only=True)
class Cue:
    """Words that are shown together."""

    start_s: float
    end_s: float
    speaker: Speaker
    text: str


def cues(texts: Sequence[ExtractedText]) -> list[Cue]:
    """Gather words, in order, into cues: by speaker, sentence, pause and length."""
    return [
        Cue(
            start_s=group[0].start_s,
            end_s=max(text.end_s for text in group),
            speaker=group[0].speaker,
            text=" ".join(text.text.strip() for text in group),
        )
        for group in _groups(texts)
    ]


def _groups(texts: Sequence[ExtractedText]) -> Iterator[list[ExtractedText]]:
    group: list[ExtractedText] = []
    for text in texts:
        if group and _begins_another(group, text):
            yield group
            group = []
        group.append(text)
    if group:
        yield group


def _begins_another(group: Sequence[ExtractedText], text: ExtractedText) -> bool:
    last = group[-1]
    length = sum(len(each.text) + 1 for each in group) + len(text.text)
    return (
        text.speaker != last.speaker
        or text.start_s - last.end_s > _PAUSE_S
        or text.end_s - group[0].start_s > _LONGEST_S
        or length > _LONGEST_CHARACTERS
        or last.text.rstrip().endswith(_SENTENCE_ENDS)
    )


def as_vtt(texts: Sequence[ExtractedText]) -> str:
    """Return a WebVTT file (W3C): a cue's voice is who said it."""
    parts = ["WEBVTT"]
    for cue in cues(texts):
        said = cue.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        voice = cue.speaker.capitalize()
        parts.append(f"{_clock(cue.start_s, '.')} --> {_clock(cue.end_s, '.')}\n<v {voice}>{_one_line(said)}")
    return "\n\n".join(parts) + "\n"


def as_srt(texts: Sequence[ExtractedText]) -> str:
    """Return a SubRip file."""
    parts = [
        f"{number}\n{_clock(cue.start_s, ',')} --> {_clock(cue.end_s, ',')}\n{_srt_line(cue.text)}\n"
        for number, cue in enumerate(cues(texts), start=1)
    ]
    return "\n".join(parts)


def as_text(texts: Sequence[ExtractedText]) -> str:
    """Return one line for each cue, with its start and who said it."""
    return "".join(f"[{_clock(cue.start_s, '.')}] {cue.speaker}: {_one_line(cue.text)}\n" for cue in cues(texts))


def _one_line(text: str) -> str:
    return " ".join(text.split())  # an empty line would end a cue


def _srt_line(text: str) -> str:
    return _one_line(text).replace("-->", "->")  # SubRip escapes nothing, and an arrow begins a cue


def _clock(seconds: float, point: str) -> str:
    milliseconds = max(0, round(1000 * seconds))
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{milliseconds // 1000:02d}{point}{milliseconds % 1000:03d}"
