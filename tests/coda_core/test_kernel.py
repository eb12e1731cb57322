"""The kernel with real managers and stores around a processor without a model."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from types import ModuleType
from typing import Any

import attrs
import numpy as np
import pytest

from coda_audio.config import FileTransportConfig
from coda_core.audio import AudioFormat, AudioFrame, Block
from coda_core.config import Stack
from coda_core.errors import (
    AudioError,
    CodaError,
    ConfigError,
    ConversationBroken,
    ConversationClosed,
    Full,
    PluginError,
    ProcessorLost,
    StoreError,
)
from coda_core.events import Closed, Event, Failed, Opened, Paused, Resumed
from coda_core.hookspecs import hookimpl
from coda_core.interfaces import Component, Context, Processor, SlotOptions, StepInput
from coda_core.kernel import Kernel
from coda_core.plugins import Registry, load_plugins
from coda_core.testing import ScriptedProcessor
from coda_core.text import ExtractedText
from coda_state.config import MemoryStoreConfig, SqliteStoreConfig
from coda_streaming.config import OfflineConfig

FRAME = 1_920


PROCESSORS: dict[str, ScriptedProcessor] = {}
GOT: dict[str, list[AudioFrame]] = {}
"""What settings cannot carry, by a name that they can."""


@attrs.frozen
class ScriptedConfig:
    key: str = ""


@attrs.frozen
class NoiseConfig:
    blocks: int = 10
    defect: bool = False


@attrs.frozen
class CollectorConfig:
    key: str = ""
    fail: str | None = None
    defect: bool = False


@attrs.frozen
class NoiseSource:
    config: NoiseConfig
    format: AudioFormat = AudioFormat(48_000)
    live: bool = False

    async def blocks(self) -> AsyncGenerator[Block, None]:
        for seed in range(self.config.blocks):
            yield Block(np.random.default_rng(seed).uniform(-1, 1, 4_800).astype(np.float32), self.format)
        if self.config.defect:
            raise ZeroDivisionError("no noise left")


@attrs.frozen
class Collector:
    config: CollectorConfig

    async def run(self, kernel: Kernel, ready: Callable[[], None]) -> None:
        conversation = await kernel.local()
        async with conversation.subscribe(AudioFrame, size=10_000) as frames:
            ready()
            if self.config.fail is not None:
                raise AudioError(self.config.fail)
            if self.config.defect:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._divide())
            GOT[self.config.key] = [frame async for frame in frames]

    async def _divide(self) -> None:
        raise ZeroDivisionError("nobody to divide by")


class Life:
    """The order in which components came and went."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.failing: set[str] = set()


@pytest.fixture
def life() -> Life:
    return Life()


@pytest.fixture
def registry(life: Life) -> Registry:
    plugin = ModuleType("fakes")

    @contextmanager
    def scripted(config: ScriptedConfig, context: Context) -> Iterator[Processor]:
        life.log.append("+processor")
        try:
            yield PROCESSORS[config.key]
        finally:
            life.log.append("-processor")
        if "processor" in life.failing:
            raise RuntimeError("the processor fell on the doorstep")

    @asynccontextmanager
    async def noise(config: NoiseConfig, context: Context) -> AsyncIterator[NoiseSource]:
        life.log.append("+source")
        if "source" in life.failing:
            raise AudioError("no such microphone")
        try:
            yield NoiseSource(config)
        finally:
            life.log.append("-source")

    @asynccontextmanager
    async def collector(config: CollectorConfig, context: Context) -> AsyncIterator[Collector]:
        life.log.append("+transport")
        try:
            yield Collector(config)
        finally:
            life.log.append("-transport")

    @hookimpl
    def coda_register_processors() -> Sequence[Component[Any]]:
        return [Component("scripted", "Follows a script.", ScriptedConfig, scripted)]

    @hookimpl
    def coda_register_audio_sources() -> Sequence[Component[Any]]:
        return [Component("noise", "Noise.", NoiseConfig, noise)]

    @hookimpl
    def coda_register_transports() -> Sequence[Component[Any]]:
        return [Component("collector", "Keeps all frames.", CollectorConfig, collector)]

    vars(plugin).update(
        CODA_CONTRACT=1,
        coda_register_processors=coda_register_processors,
        coda_register_audio_sources=coda_register_audio_sources,
        coda_register_transports=coda_register_transports,
    )
    return load_plugins(modules=[("fakes", plugin)])


def stack(processor: ScriptedProcessor | None = None, **parts: Any) -> Stack:
    processor = processor or ScriptedProcessor()
    key = str(id(processor))
    PROCESSORS[key] = processor
    return Stack(
        processor=ScriptedConfig(key),
        **{"streaming_manager": OfflineConfig(), "state_store": MemoryStoreConfig(), **parts},
    )


def audio(frames: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(frames).uniform(-0.5, 0.5, frames * FRAME).astype(np.float32)


async def stored(kernel: Kernel, conversation: str) -> list[Event]:
    """Read a conversation's events back from the kernel's store, on its thread."""
    await kernel._house.journal.durable(conversation)
    parts = kernel._parts
    events: list[Event] = await parts.streaming_manager.call(
        "state", lambda: list(parts.state_store.events(conversation))
    )
    return events


async def test_a_conversation_from_end_to_end(registry: Registry) -> None:
    async with Kernel(stack(), registry=registry) as kernel:
        async with kernel.open_conversation(user_id="ada", metadata={"desk": "3"}) as conversation:
            statuses = [conversation.status]
            assert conversation.durable_sequence == 1
            reader = conversation.subscribe(size=100)
            await conversation.send(audio(4))
            await conversation.drain()
        items = [item async for item in reader]
        assert [*statuses, conversation.status] == ["live", "closed"]
        frames = [item for item in items if isinstance(item, AudioFrame)]
        words = [item.text for item in items if isinstance(item, ExtractedText)]
        assert [frame.frame for frame in frames] == [0, 1, 2, 3]
        np.testing.assert_array_equal(np.concatenate([frame.pcm for frame in frames]), -audio(4))
        assert words == ["hello", "world"]
        events = await stored(kernel, conversation.id)
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert conversation.durable_sequence == len(events)
        opened, closed = events[0], events[-1]
        assert isinstance(opened, Opened)
        assert (opened.user_id, opened.metadata, opened.processor, opened.slots) == (
            "ada",
            {"desk": "3"},
            "scripted",
            4,
        )
        assert isinstance(opened.options["seed"], int)
        assert isinstance(closed, Closed)
        assert (closed.reason, closed.frames) == ("closed", 4)
        assert [event for event in events if isinstance(event, ExtractedText)] == [
            item for item in items if isinstance(item, ExtractedText)
        ]


async def test_what_a_conversation_asks_for_is_what_is_run_and_recorded(registry: Registry) -> None:
    processor = ScriptedProcessor()
    async with (
        Kernel(stack(processor), registry=registry) as kernel,
        kernel.open_conversation(options=SlotOptions(seed=7, text_top_k=3)) as conversation,
    ):
        assert processor.opened[0] == conversation.options
        opened = (await stored(kernel, conversation.id))[0]
        assert isinstance(opened, Opened)
        assert (opened.options["seed"], opened.options["text_top_k"]) == (7, 3)


async def test_readers_are_independent(registry: Registry) -> None:
    async with Kernel(stack(), registry=registry) as kernel, kernel.open_conversation() as conversation:
        slow = conversation.subscribe(AudioFrame, size=2)
        fast = conversation.subscribe(AudioFrame, size=100)
        only_words = conversation.subscribe(ExtractedText)
        await conversation.send(audio(10))
        await conversation.drain()
        await conversation.close()
        assert [frame.frame async for frame in slow] == [8, 9]
        assert len([frame async for frame in fast]) == 10
        assert slow.dropped == 8
        assert all([isinstance(word, ExtractedText) async for word in only_words])


async def test_text_can_be_asked_for(registry: Registry) -> None:
    async with Kernel(stack(), registry=registry) as kernel, kernel.open_conversation() as conversation:
        await conversation.send(audio(12))
        await conversation.drain()
        words = await conversation.text(60.0)
        assert [word.text for word in words][:2] == ["hello", "world"]
        with pytest.raises(CodaError, match="this stack has: inner-monologue"):
            await conversation.text(60.0, extractor="other")


async def test_pause_and_resume_are_recorded_with_their_frame(registry: Registry) -> None:
    async with Kernel(stack(), registry=registry) as kernel, kernel.open_conversation() as conversation:
        await conversation.send(audio(3))
        await conversation.drain()
        await conversation.pause()
        await conversation.pause()
        await conversation.send(audio(2))
        assert conversation.frames == 3
        await conversation.resume()
        await conversation.drain()
        assert conversation.frames == 5
        marks = [event for event in await stored(kernel, conversation.id) if isinstance(event, (Paused, Resumed))]
        assert [(type(mark), mark.frame) for mark in marks] == [(Paused, 3), (Resumed, 3)]


async def test_closed_by_you_and_broken_by_a_fault_are_told_apart(registry: Registry) -> None:
    processor = ScriptedProcessor()
    async with Kernel(stack(processor), registry=registry) as kernel:
        async with kernel.open_conversation() as mine:
            pass
        with pytest.raises(ConversationClosed):
            await mine.send(audio(1))
        async with kernel.open_conversation() as torn:
            reader = torn.subscribe(AudioFrame, size=10)
            processor.poisoned.add(0)
            await torn.send(audio(1))
            with pytest.raises(ConversationBroken, match="no longer finite"):
                await torn.drain()
            with pytest.raises(ConversationBroken):
                await anext(reader)
            with pytest.raises(ConversationBroken):
                await torn.send(audio(1))
        async with kernel.open_conversation():
            pass
        kinds = [type(event) for event in await stored(kernel, torn.id)]
        assert kinds == [Opened, Failed, Closed]


async def test_a_full_house_refuses_and_leaves_no_trace(registry: Registry) -> None:
    async with (
        Kernel(stack(ScriptedProcessor(slots=1)), registry=registry) as kernel,
        kernel.open_conversation() as first,
    ):
        with pytest.raises(Full, match="all 1 slots are taken") as refusal:
            async with kernel.open_conversation():
                pass
        assert refusal.value.capacity == 1
        assert list(kernel.conversations) == [first.id]


async def test_an_opening_that_cannot_be_stored_is_no_opening(registry: Registry) -> None:
    processor = ScriptedProcessor()
    async with Kernel(stack(processor), registry=registry) as kernel:

        def full(events: Sequence[Event]) -> None:
            raise StoreError("disk full")

        kernel._parts.state_manager.record = full  # type: ignore[method-assign]
        with pytest.raises(StoreError, match="disk full"):
            async with kernel.open_conversation():
                pass
        assert kernel.conversations == {}
        assert processor.opened == {}


async def test_observers_see_the_events_of_all_conversations(registry: Registry) -> None:
    async with Kernel(stack(), registry=registry) as kernel:
        watching = kernel.subscribe(Opened, Closed)
        async with kernel.open_conversation() as one, kernel.open_conversation() as two:
            pass
    seen = [(type(event), event.conversation) async for event in watching]
    assert seen == [(Opened, one.id), (Opened, two.id), (Closed, two.id), (Closed, one.id)]


async def test_leaving_the_kernel_closes_what_is_open(registry: Registry, tmp_path: Any) -> None:
    path = tmp_path / "conversations.db"
    async with Kernel(stack(state_store=SqliteStoreConfig(path=path)), registry=registry) as kernel:
        opening = kernel.open_conversation()
        conversation = await opening.__aenter__()
        await conversation.send(audio(2))
        await conversation.drain()
    assert conversation.status == "closed"
    async with Kernel(stack(state_store=SqliteStoreConfig(path=path)), registry=registry) as again:
        events = await stored(again, conversation.id)
    assert isinstance(events[-1], Closed)
    assert events[-1].reason == "shutdown"
    await opening.__aexit__(None, None, None)


async def test_components_leave_in_reverse_even_when_one_fails(registry: Registry, life: Life) -> None:
    life.failing.add("processor")
    parts = stack(audio_source=NoiseConfig(), transport=[CollectorConfig()])
    with pytest.raises(RuntimeError, match="doorstep"):
        async with Kernel(parts, registry=registry):
            pass
    assert life.log == ["+source", "+transport", "+processor", "-processor", "-transport", "-source"]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("coda-")]


async def test_a_component_that_cannot_be_built_undoes_the_others(registry: Registry, life: Life) -> None:
    life.failing.add("source")
    with pytest.raises(AudioError, match="no such microphone"):
        async with Kernel(stack(audio_source=NoiseConfig()), registry=registry):
            pass
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("coda-")]


async def test_serving_feeds_the_local_conversation_to_every_transport(registry: Registry) -> None:
    one, two = CollectorConfig("one"), CollectorConfig("two")
    async with Kernel(stack(audio_source=NoiseConfig(10), transport=[one, two]), registry=registry) as kernel:
        await asyncio.wait_for(kernel.serve(), 30)
        assert (await kernel.local()).status == "closed"
    assert [frame.frame for frame in GOT["one"]] == list(range(13))  # ten blocks of 0.1 s are 12.5 frames
    assert len(GOT["two"]) == 13


async def test_a_source_waits_while_the_local_conversation_is_parked(registry: Registry) -> None:
    async with Kernel(stack(audio_source=NoiseConfig(10), transport=[CollectorConfig("away")]), registry=registry) as k:
        conversation = await k.local()
        await conversation.park()
        serving = asyncio.create_task(k.serve())
        for _ in range(20):
            await asyncio.sleep(0)
        assert (conversation.status, conversation.frames) == ("parked", 0)
        await conversation.resume()
        await asyncio.wait_for(serving, 30)
    assert [frame.frame for frame in GOT["away"]] == list(range(13))


async def test_a_failing_transport_stops_the_others_and_is_told_plainly(registry: Registry) -> None:
    failing = [CollectorConfig(), CollectorConfig(fail="the speaker is gone")]
    async with Kernel(stack(audio_source=NoiseConfig(10_000), transport=failing), registry=registry) as kernel:
        with pytest.raises(AudioError, match="the speaker is gone"):
            await kernel.serve()


async def test_a_defect_of_a_transport_or_a_source_names_it(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    transports = [CollectorConfig("defective"), CollectorConfig(defect=True)]
    cases: list[tuple[str, str, dict[str, Any]]] = [
        ('transport "collector#2"', "nobody to divide by", {"transport": transports}),
        ('audio source "noise"', "no noise left", {"audio_source": NoiseConfig(2, defect=True)}),
    ]
    for who, why, parts in cases:
        async with Kernel(stack(**{"audio_source": NoiseConfig(10_000), **parts}), registry=registry) as kernel:
            with pytest.raises(PluginError) as failure:
                await kernel.serve()
        message = f'the {who} of plugin "fakes" of (in process) failed'
        assert str(failure.value).startswith(f"{message}: ZeroDivisionError: {why}.")
        assert isinstance(failure.value.__cause__, ZeroDivisionError)
        (record,) = (record for record in caplog.records if record.getMessage() == message)
        assert (record.levelno, bool(record.exc_info)) == (logging.INFO, True)


async def test_a_lost_processor_ends_serving_and_marks_every_conversation(registry: Registry) -> None:
    processor = ScriptedProcessor()
    async with Kernel(stack(processor), registry=registry) as kernel:
        serving = asyncio.create_task(kernel.until_lost())
        async with kernel.open_conversation() as one, kernel.open_conversation() as two:

            def lose(batch: StepInput) -> None:
                raise ProcessorLost("the CUDA context is gone")

            processor.on_step = lose
            await one.send(audio(1))
            with pytest.raises(ProcessorLost):
                await serving
            assert (one.status, two.status) == ("broken", "broken")
            with pytest.raises(ConversationBroken, match="processor is lost"):
                async with kernel.open_conversation():
                    pass
        for conversation in (one, two):
            last = (await stored(kernel, conversation.id))[-1]
            assert isinstance(last, Closed)
            assert last.reason == "interrupted"


async def test_cancelling_an_opening_frees_everything(registry: Registry) -> None:
    processor = ScriptedProcessor(slots=1)
    async with Kernel(stack(processor), registry=registry) as kernel:
        for waits in range(12):
            opening = asyncio.create_task(kernel.open_conversation().__aenter__())
            for _ in range(waits):
                await asyncio.sleep(0)
            opening.cancel()
            try:
                conversation = await opening
            except asyncio.CancelledError:
                pass
            else:
                await conversation.close()
            assert kernel.conversations == {}
        async with kernel.open_conversation():
            pass


async def test_two_kernels_in_one_process(registry: Registry) -> None:
    async with (
        Kernel(stack(), registry=registry) as first,
        Kernel(stack(), registry=registry) as second,
        first.open_conversation() as one,
        second.open_conversation() as two,
    ):
        await asyncio.gather(one.send(audio(5)), two.send(audio(5)))
        await asyncio.gather(one.drain(), two.drain())
        assert one.frames == two.frames == 5
        assert list(first.conversations) == [one.id]


async def test_a_failing_observer_disturbs_nobody(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    plugin = ModuleType("nosy")

    @hookimpl
    def coda_started(kernel: Kernel) -> None:
        raise RuntimeError("curiosity")

    vars(plugin).update(CODA_CONTRACT=1, coda_started=coda_started)
    nosy = load_plugins(modules=[("nosy", plugin)])
    both = attrs.evolve(registry, observers=nosy.observers)
    with caplog.at_level(logging.ERROR):
        async with Kernel(stack(), registry=both) as kernel, kernel.open_conversation() as conversation:
            assert conversation.status == "live"
    assert "curiosity" in caplog.text


async def test_a_kernel_that_was_left_opens_nothing(registry: Registry) -> None:
    async with Kernel(stack(), registry=registry) as kernel:
        pass
    with pytest.raises(ConversationClosed, match="kernel is closed"):
        async with kernel.open_conversation():
            pass


@pytest.mark.parametrize("waits", range(8))
async def test_leaving_gives_up_conversations_that_are_still_opening(registry: Registry, waits: int) -> None:
    async with Kernel(stack(), registry=registry) as kernel:
        openings = [asyncio.create_task(kernel.open_conversation().__aenter__()) for _ in range(3)]
        for _ in range(waits):
            await asyncio.sleep(0)
    for outcome in await asyncio.wait_for(asyncio.gather(*openings, return_exceptions=True), 30):
        assert isinstance(outcome, ConversationClosed) or outcome.status == "closed"  # type: ignore[union-attr]


async def test_one_file_for_two_components_is_refused(registry: Registry, tmp_path: Any) -> None:
    path = tmp_path / "both.wav"
    parts: dict[str, Any] = {"state_store": SqliteStoreConfig(path=path)}
    parts["transport"] = [FileTransportConfig(path=path)]
    with pytest.raises(ConfigError, match="Give each a file of its own"):
        Kernel(stack(**parts), registry=registry)
