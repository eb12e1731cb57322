"""The conversation of a demo, from the first frame to the transcript."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from typing import Literal

import attrs

from coda_core.audio import AudioFrame
from coda_core.cli.demo.caller import Caller
from coda_core.cli.demo.files import DemoFiles
from coda_core.cli.demo.saying import Saying
from coda_core.cli.demo.transcript import transcript
from coda_core.cli.whole_file import write_whole
from coda_core.config.schema import settings_of
from coda_core.conversation import Conversation
from coda_core.errors import CodaError, ConversationError
from coda_core.events import Fault, Injection
from coda_core.interfaces import Measures, Progress
from coda_core.kernel import Kernel
from coda_core.subscription import Subscription
from coda_core.text import ExtractedText

__all__ = ["Outcome", "Session", "Talk"]

Outcome = Literal["finished", "interrupted", "failed"]
_Read = AudioFrame | ExtractedText | Fault | Injection


@attrs.define(kw_only=True)
class Talk:
    """What is known of the conversation."""

    conversation: str
    stack: str
    processor: str
    fingerprint: str
    frame_s: float
    checkpoint: str
    """``model_path`` of the processor; empty for one that has none."""
    input_s: float
    """Length of the recording; 0.0 where it is not known."""
    questions: tuple[ExtractedText, ...] = ()
    """What the caller says, where that is known beforehand."""
    saying: Saying | None = None
    """What Moshi was made to say."""
    outcome: Outcome = "failed"
    frames: int = 0
    took_s: float = 0.0
    """From the first block sent to the last frame handed over."""
    texts: list[ExtractedText] = attrs.field(factory=list)
    measures: Measures | None = None

    @property
    def is_random(self) -> bool:
        """Whether the checkpoint has random weights: its noise and nonsense are no fault."""
        return self.checkpoint == "tiny"

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

    async def hold(self, kernel: Kernel, caller: Caller, say: str | None, progress: Progress) -> None:
        """Run `kernel` until its source has ended, or until cancelled; then write the transcript.

        The transcript is written where anything was recorded, whatever the end was. Raises `CodaError` where the
        processor does not take the text `say`.
        """
        reading: asyncio.Task[None] | None = None
        saying: Saying | None = None
        try:
            progress("starting", 0.0, 0.0)
            async with kernel:
                progress("starting", 1.0, 1.0)
                conversation = await kernel.local()
                saying = None if say is None else _saying(kernel, conversation, say, caller)
                talk = self.talk = _begin(kernel, conversation, caller, saying)
                output: Subscription[_Read] = conversation.subscribe(AudioFrame, ExtractedText, Fault, Injection)
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
        if saying is not None and saying.refusal:
            raise CodaError(saying.refusal)


def _saying(kernel: Kernel, conversation: Conversation, text: str, caller: Caller) -> Saying:
    if "say" not in kernel.info.capabilities:
        raise CodaError(f'the processor "{kernel.processor.label}" cannot be made to say a text; leave --say out')
    return Saying(text, conversation, caller.length_s)


def _begin(kernel: Kernel, conversation: Conversation, caller: Caller, saying: Saying | None) -> Talk:
    processor = kernel.processor
    return Talk(
        conversation=conversation.id,
        stack=kernel.stack.name,
        processor=processor.label,
        fingerprint=kernel.info.fingerprint,
        frame_s=conversation.frame_s,
        checkpoint=str(settings_of(processor.config).get("model_path", "")),
        input_s=caller.length_s,
        questions=caller.questions,
        saying=saying,
    )


async def _read(output: Subscription[_Read], talk: Talk, progress: Progress) -> None:
    began = time.perf_counter()
    what = f"conversation ({talk.input_s:.1f} s of audio)"
    progress(what, 0.0, talk.input_s)
    # A conversation that breaks ends the kernel's work too, which says why.
    with suppress(ConversationError):
        async for item in output:
            if isinstance(item, AudioFrame):
                talk.frames = item.frame + 1
                talk.took_s = time.perf_counter() - began
                progress(what, min(talk.audio_s, talk.input_s), talk.input_s)
                if talk.saying is not None:
                    await talk.saying.at(item.frame)
            elif isinstance(item, ExtractedText):
                talk.texts.append(item)
            elif talk.saying is not None:
                talk.saying.note(item)
