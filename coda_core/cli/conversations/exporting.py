"""A stored conversation in the formats of other programs."""

from __future__ import annotations

import io
import json

import soundfile

from coda_core.cli.conversations.captions import as_srt, as_text, as_vtt
from coda_core.cli.conversations.describing import story_object
from coda_core.cli.conversations.reading import Story, read_story
from coda_core.cli.conversations.reporting import report_of, voices_of
from coda_core.cli.report import as_html
from coda_core.errors import CodaError
from coda_core.interfaces import StateStore
from coda_core.recording import Recording, read_recording

__all__ = ["exported"]

_CAPTIONS = {"text": as_text, "vtt": as_vtt, "srt": as_srt}


def exported(store: StateStore, wanted: str, format: str) -> tuple[str, str | bytes]:
    """Return the id of the conversation that is or begins with `wanted`, and all of a file: bytes where it is sound.

    Raises `CodaError` where there is no such conversation, and where sound is asked for and none was recorded.
    """
    story = read_story(store, wanted)
    return story.row.conversation, _content(store, story, format)


def _content(store: StateStore, story: Story, format: str) -> str | bytes:
    if format in _CAPTIONS:
        return _CAPTIONS[format](story.texts)
    recording = read_recording(store, story.row.conversation)
    if format == "json":
        return json.dumps(story_object(story, recording, events=True), indent=2, ensure_ascii=False) + "\n"
    if format == "html":
        return as_html(report_of(story, voices_of(recording), recording))
    return _sound(story, recording, format)


def _sound(story: Story, recording: Recording | None, format: str) -> bytes:
    """Return a stereo file of 16 bits: the caller on the left, Moshi on the right."""
    if recording is None:
        raise CodaError(
            f"conversation {story.row.conversation} was not recorded; "
            "record_audio = true below [state_manager] records the next ones"
        )
    file = io.BytesIO()
    soundfile.write(file, recording.voices, recording.sample_rate_hz, format=format.upper(), subtype="PCM_16")
    return file.getvalue()
