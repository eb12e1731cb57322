"""Both voices of a recorded conversation as an audio file."""

from __future__ import annotations

import io

import soundfile

from coda_core.cli.conversations.reading import Story
from coda_core.errors import CodaError
from coda_core.recording import Recording

__all__ = ["as_audio"]


def as_audio(story: Story, recording: Recording | None, format: str) -> bytes:
    """Return a stereo file of 16 bits, the caller on the left; raises `CodaError` where nothing was recorded."""
    if recording is None:
        raise CodaError(
            f"conversation {story.row.conversation} was not recorded; "
            "record_audio = true below [state_manager] records the next ones"
        )
    file = io.BytesIO()
    soundfile.write(file, recording.voices, recording.sample_rate_hz, format=format.upper(), subtype="PCM_16")
    return file.getvalue()
