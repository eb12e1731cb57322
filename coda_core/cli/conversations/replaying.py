"""A recorded conversation, run again offline."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np

from coda_core.cli.component_config import component_config
from coda_core.cli.conversations.reading import opened_store, read_story
from coda_core.cli.conversations.script import Order, Script, Stretch
from coda_core.cli.running import run_until_stopped
from coda_core.config import Stack, read_stack, stack_of
from coda_core.conversation import Conversation
from coda_core.errors import CodaError
from coda_core.events import Injection, Interrupted, Opened, Withdrawn
from coda_core.injecting import Receipt
from coda_core.interfaces import Kind, ProcessorInfo, Progress, SlotOptions, StateStore
from coda_core.kernel import Kernel
from coda_core.plugins import Registry
from coda_core.recording import ROWS, Recording, read_recording
from coda_core.text import ExtractedText

__all__ = ["Again", "Replay"]

_SOURCE: Final = "coda conversations replay"
_BLOCK_FRAMES: Final = 125
_OPTIONS: Final = frozenset(field.name for field in attrs.fields(SlotOptions))


@attrs.frozen(kw_only=True)
class Again:
    """How it went this time."""

    info: ProcessorInfo
    options: SlotOptions
    """As they were in force."""
    recording: Recording
    texts: Sequence[ExtractedText]
    """On the clock of the recorded conversation."""


class Replay:
    """One conversation's second run, with what was recorded of its stack or with another one."""

    def __init__(
        self,
        opened: Opened,
        script: Script,
        recording: Recording,
        *,
        stack: Path | None,
        overrides: Sequence[str],
        progress: Progress,
    ) -> None:
        """`stack` is another stack's file, whose processor and extractors take the place of those that were recorded.

        `overrides` are put over either. Raises `ConfigError`, and `CodaError` where nothing says what to run.
        """
        self._opened = opened
        self._script = script
        self._recording = recording
        self._overrides = overrides
        self._progress = progress
        self._stack, self._registry = self._chosen(stack)

    def run(self) -> Again:
        """Run it again; raises `CodaError` where that cannot be done."""
        with tempfile.TemporaryDirectory(prefix="coda-replay-") as folder:
            database = Path(folder) / "replay.db"
            ids, info, options = run_until_stopped(self._run(database))
            with opened_store(None, database) as (store, _):
                return self._read(store, ids, info, options)

    def _chosen(self, path: Path | None) -> tuple[Stack, Registry]:
        setup = self._opened.setup
        if path is not None:
            return read_stack(path, overrides=self._overrides)
        if "processor" not in setup:
            raise CodaError("what it talked to was not recorded: name a stack that has it, with --with FILE")
        document = {
            "processor": dict(setup["processor"]),
            "monologue_extractor": [dict(table) for table in setup["monologue_extractor"]],
        }
        base_dir = Path(setup["base_dir"])
        return stack_of(document, base_dir=base_dir, source=_SOURCE, overrides=self._overrides)

    def _kernel(self, database: Path) -> Kernel:
        stack, registry = self._stack, self._registry

        def config(kind: Kind, name: str, **settings: Any) -> Any:
            return component_config(registry, kind, name, source=_SOURCE, **settings)

        hearing = self._opened.setup.get("streaming_manager", {})
        processor = stack.processor
        # Tokens are the same at the same batch size.
        if processor is not None and hasattr(processor, "conversations") and not self._sets("conversations"):
            processor = attrs.evolve(processor, conversations=max(1, self._opened.slots))  # type: ignore[misc]
        return Kernel(
            attrs.evolve(
                stack,
                processor=processor,
                audio_source=None,
                transport=(),
                streaming_manager=config("streaming_manager", "offline", **hearing),
                state_manager=config("state_manager", "conversation", record_minutes=10_000.0),
                state_store=config("state_store", "sqlite", path=database),
                save_model_state_every_s=None,
            ),
            registry=registry,
            progress=self._progress,
        )

    def _sets(self, setting: str) -> bool:
        """Return whether an override sets this of the processor."""
        return any(override.partition("=")[0].strip() == f"processor.{setting}" for override in self._overrides)

    def _options(self) -> SlotOptions:
        recorded: Mapping[str, Any] = self._opened.options
        known = {name: value for name, value in recorded.items() if name in _OPTIONS and not self._sets(name)}
        return SlotOptions(**{**known, "record": True})

    async def _run(self, database: Path) -> tuple[list[str], ProcessorInfo, SlotOptions]:
        ids: list[str] = []
        options = self._options()
        async with self._kernel(database) as kernel:
            for stretch in self._script.stretches:
                async with kernel.open_conversation(options=options) as conversation:
                    ids.append(conversation.id)
                    options = conversation.options
                    await self._play(conversation, stretch)
            return ids, kernel.info, options

    async def _play(self, conversation: Conversation, stretch: Stretch) -> None:
        receipts: dict[int, Receipt] = {}
        at = stretch.first
        for frame, orders in groupby(stretch.orders, lambda order: order.frame or 0):
            await self._send(conversation, at, frame)
            # All before it must be stepped: an order takes effect before the next step.
            await conversation.drain()
            for order in orders:
                await _give(conversation, order, receipts)
            at = frame
        await self._send(conversation, at, stretch.end)
        await conversation.drain()

    async def _send(self, conversation: Conversation, first: int, end: int) -> None:
        for start in range(first, end, _BLOCK_FRAMES):
            block = self._recording.pcm[start : min(start + _BLOCK_FRAMES, end), :, 0]
            await conversation.send(np.ascontiguousarray(block).reshape(-1))
            self._progress("replay", float(min(start + _BLOCK_FRAMES, end)), float(self._script.frames))

    def _read(self, store: StateStore, ids: Sequence[str], info: ProcessorInfo, options: SlotOptions) -> Again:
        rows = np.zeros(self._script.frames, ROWS)
        pcm = np.zeros((self._script.frames, *self._recording.pcm.shape[1:]), np.int16)
        texts: list[ExtractedText] = []
        for id, stretch in zip(ids, self._script.stretches, strict=True):
            recording = read_recording(store, id)
            if recording is not None:
                place = slice(stretch.first, stretch.first + recording.frames)
                rows[place], pcm[place] = recording.rows, recording.pcm
            later_s = stretch.first * self._recording.frame_s
            texts += [
                attrs.evolve(text, start_s=text.start_s + later_s, end_s=text.end_s + later_s)
                for text in read_story(store, id).texts
            ]
        again = Recording(sample_rate_hz=self._recording.sample_rate_hz, rows=rows, pcm=pcm)
        return Again(info=info, options=options, recording=again, texts=texts)


async def _give(conversation: Conversation, order: Order, receipts: dict[int, Receipt]) -> None:
    """Give an order as it was given then."""
    frame_s = conversation.frame_s
    match order:
        case Injection():
            expires = order.expires_frames
            receipts[order.command] = await conversation.say(
                order.text,
                deadline_s=(order.deadline_frames or 0) * frame_s,
                expires_s=None if expires is None else expires * frame_s,
                yields=order.yields,
            )
        case Withdrawn():
            if order.command in receipts:
                receipts[order.command].cancel()
        case Interrupted():
            await conversation.interrupt(order.for_s)
