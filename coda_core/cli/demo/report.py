"""The page on which a demo can be looked at and listened to."""

from __future__ import annotations

import soundfile

from coda_core.cli.conversations.reading import opened_store, read_story
from coda_core.cli.conversations.reporting import report_of
from coda_core.cli.demo.files import DemoFiles
from coda_core.cli.report import Voices, as_html
from coda_core.cli.whole_file import write_whole
from coda_core.recording import read_recording

__all__ = ["write_report"]


def write_report(files: DemoFiles, conversation: str) -> None:
    """Write ``report.html`` from the demo's database and its stereo file; raises `CodaError`."""
    voices = None
    if files.conversation.exists():
        pcm, rate = soundfile.read(files.conversation, dtype="float32", always_2d=True)
        voices = Voices(pcm, rate)
    with opened_store(None, files.database) as (store, _):
        story = read_story(store, conversation)
        recording = read_recording(store, conversation)
    write_whole(files.report, as_html(report_of(story, voices, recording)))
