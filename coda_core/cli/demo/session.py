"""The conversation of a demo, from the first frame to the transcript."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

import attrs
import soundfile

from coda_core.audio import AudioFrame
from coda_core.cli.demo.files import DemoFiles
from coda_core.cli.demo.transcript import transcript
from coda_core.cli.whole_file import write_whole
from coda_core.config.schema import settings_of
from coda_core.errors import ConversationError
from coda_core.interfaces import Measures, Progress
from coda_core.kernel import Kernel
from coda_core.subscription import Subscription
from coda_core.text import ExtractedText

__all__ = ["Outcome", "Session", "Talk"]

Outcome = Literal["finished", "interrupted", "failed"]


@attrs.define(kw_only=True)
class Talk:
    """What is known of the conversation."""

    conversation: str
    stack: str
    processor: str
    fingerprint: str
    frame_s: float
    is_random: bool
    """True for a checkpoint with random weights: its noise and nonsense are no fault."""
    input_s: float
    """Length of the recording; 0.0 where it is not known."""
    outcome: Outcome = "failed"
    frames: int = 0
    took_s: float = 0.0
    """From the first block sent to the last frame handed over."""
    texts: list[ExtractedText] = attrs.field(factory=list)
    measures: Measures | None = None

    @property
    def audio_s(self) -> float:
        return round(self.frames * self.frame_s, 3)

    @property
    def speed(self) -> float:
        """Seconds of audio per second."""
        return self.audio_s / self.took_s if self.took_s else 0.0


class Session:
    """Holds one conversation."""

    def __init__(self, files: DemoFiles) -> None:
        self.talk: Talk | None = None
        """None until the conversation is open."""
        self._files = files

    async def hold(self, kernel: Kernel, recording: Path, progress: Progress) -> None:
        """Run `kernel` until its source has ended, or until cancelled; then write the transcript.

        The transcript is written where anything was recorded, whatever the end was.
        """
        reading: asyncio.Task[None] | None = None
        try:
            progress("starting", 0.0, 0.0)
            async with kernel:
                progress("starting", 1.0, 1.0)
                conversation = await kernel.local()
                talk = self.talk = _begin(kernel, conversation.id, conversation.frame_s, _length_s(recording))
                output: Subscription[AudioFrame | ExtractedText] = conversation.subscribe(AudioFrame, ExtractedText)
                reading = asyncio.create_task(_read(output, talk, progress))
                try:
                    await kernel.serve()
                    talk.outcome = "finished"
                except asyncio.CancelledError:
                    talk.outcome = "interrupted"
                    raise
                finally:
                    talk.measures = kernel.measures()
        finally:
            # Only now has the kernel flushed the extractors: the last words are waiting to be read.
            if reading is not None:
                output.end()
                await reading
                if talk.frames:
                    text = json.dumps(transcript(talk), indent=2, ensure_ascii=False)
                    write_whole(self._files.transcript, text + "\n")


def _begin(kernel: Kernel, conversation: str, frame_s: float, input_s: float) -> Talk:
    processor = kernel.processor
    return Talk(
        conversation=conversation,
        stack=kernel.stack.name,
        processor=processor.label,
        fingerprint=kernel.info.fingerprint,
        frame_s=frame_s,
        is_random=settings_of(processor.config).get("model_path") == "tiny",
        input_s=input_s,
    )


async def _read(output: Subscription[AudioFrame | ExtractedText], talk: Talk, progress: Progress) -> None:
    began = time.perf_counter()
    what = f"conversation ({talk.input_s:.1f} s of audio)"
    progress(what, 0.0, talk.input_s)
    # A conversation that breaks ends the kernel's work too, which says why.
    with suppress(ConversationError):
        async for item in output:
            if isinstance(item, AudioFrame):
                talk.frames = item.frame + 1
                talk.took_s = time.perf_counter() - began
                progress(what, talk.audio_s, talk.input_s)
            else:
                talk.texts.append(item)


def _length_s(recording: Path) -> float:
    try:
        return float(soundfile.info(recording).duration)
    except (OSError, RuntimeError, TypeError):
        return 0.0
