"""The page on which a demo can be looked at and listened to."""

from __future__ import annotations

from typing import Final

import attrs
import soundfile

from coda_core.cli.conversations.reading import opened_store, read_story
from coda_core.cli.conversations.reporting import report_of
from coda_core.cli.demo.files import DemoFiles
from coda_core.cli.demo.session import Talk
from coda_core.cli.report import Voices, as_html
from coda_core.cli.whole_file import write_whole
from coda_core.recording import read_recording

__all__ = ["write_report"]

_KNOWN: Final = ("Caller's words", "came with the recording")


def write_report(files: DemoFiles, talk: Talk) -> None:
    """Write ``report.html`` from the demo's database and its stereo file; raises `CodaError`.

    Questions that are known beforehand are shown as the caller's words.
    """
    voices = None
    if files.conversation.exists():
        pcm, rate = soundfile.read(files.conversation, dtype="float32", always_2d=True)
        voices = Voices(pcm, rate)
    with opened_store(None, files.database) as (store, _):
        story = read_story(store, talk.conversation)
        recording = read_recording(store, talk.conversation)
    report = report_of(story, voices, recording)
    asked = [question for question in talk.questions if question.start_s < talk.audio_s]
    if asked:
        texts = sorted([*report.texts, *asked], key=lambda text: text.start_s)
        report = attrs.evolve(report, texts=texts, facts=[*report.facts, _KNOWN])
    write_whole(files.report, as_html(report))
