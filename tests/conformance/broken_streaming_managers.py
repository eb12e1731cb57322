"""Streaming managers that are broken, each in one way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import Any

import attrs

from coda_core.audio import AudioFormat, AudioFrame, Block
from coda_core.errors import CodaError, Full
from coda_core.events import Event
from coda_core.interfaces import LaneMeasures, Measures, ParkedState, SlotOptions, StepRecord, Wiring
from coda_streaming.config import OfflineConfig, RealtimeConfig
from coda_streaming.lane import StreamLane
from coda_streaming.manager import Streaming

__all__ = ["BROKEN", "CONFIGS"]

_never = threading.Event()
_kept: list[object] = []


class Spoiled(Streaming):
    """A manager whose wiring or lanes are tampered with; this one is not broken."""

    def rewired(self, wiring: Wiring) -> Wiring:
        return wiring

    def spoil(self, lane: StreamLane) -> None:
        pass

    @asynccontextmanager
    async def run(self, wiring: Wiring) -> AsyncIterator[None]:
        async with super().run(self.rewired(wiring)):
            yield

    async def open(self, conversation: str, options: SlotOptions, state: ParkedState | None = None) -> StreamLane:
        lane = await super().open(conversation, options, state)
        self.spoil(lane)
        return lane


class MeasuresNothing(Spoiled):
    measures: Any = None


class EntersTheProcessorOnTheLoop(Spoiled):
    @asynccontextmanager
    async def run(self, wiring: Wiring) -> AsyncIterator[None]:
        with wiring.open_processor() as processor:
            async with super().run(attrs.evolve(wiring, open_processor=lambda: nullcontext(processor))):
                yield


class LeavesAThread(Spoiled):
    @asynccontextmanager
    async def run(self, wiring: Wiring) -> AsyncIterator[None]:
        threading.Thread(target=_never.wait, daemon=True).start()
        async with super().run(wiring):
            yield


class LeavesTheProcessorWhereCancelled(Spoiled):
    @asynccontextmanager
    async def run(self, wiring: Wiring) -> AsyncIterator[None]:
        processor = wiring.open_processor()
        _kept.append(processor)  # else it would be left when nobody holds it any more
        entered = processor.__enter__()
        await asyncio.sleep(0)
        async with super().run(attrs.evolve(wiring, open_processor=lambda: nullcontext(entered))):
            yield
        processor.__exit__(None, None, None)


class AnswersTwice(Spoiled):
    def rewired(self, wiring: Wiring) -> Wiring:
        def twice(frames: Sequence[AudioFrame]) -> None:
            wiring.deliver(frames)
            wiring.deliver(frames)

        return attrs.evolve(wiring, deliver=twice)


class KnowsOneFormat(Spoiled):
    def spoil(self, lane: StreamLane) -> None:
        push = lane.push
        lane.push = lambda block: push(Block(block.pcm, AudioFormat()))  # type: ignore[method-assign]


class ForgetsThePartialFrame(Spoiled):
    def spoil(self, lane: StreamLane) -> None:
        lane._framer.flush = lambda: ()  # type: ignore[method-assign]


class CountsNoNan(Spoiled):
    def lane_measures(self, lane: StreamLane) -> LaneMeasures:
        return attrs.evolve(super().lane_measures(lane), nan_samples=0)


class HandsOverOneByOne(Spoiled):
    def rewired(self, wiring: Wiring) -> Wiring:
        def one_by_one(frames: Sequence[AudioFrame]) -> None:
            for frame in frames:
                wiring.deliver([frame])

        return attrs.evolve(wiring, deliver=one_by_one)


class MixesThemUp(Spoiled):
    def rewired(self, wiring: Wiring) -> Wiring:
        def mixed(frames: Sequence[AudioFrame]) -> None:
            wiring.deliver([attrs.evolve(frame, pcm=frames[0].pcm) for frame in frames])

        return attrs.evolve(wiring, deliver=mixed)


class Between:
    """Passes everything on to a follower."""

    def __init__(self, follower: Any) -> None:
        self.follower = follower

    def __getattr__(self, name: str) -> Any:
        return getattr(self.follower, name)


class SkippingOne(Between):
    def feed(self, step: Sequence[StepRecord]) -> Sequence[Event]:
        return self.follower.feed(step) if step[0].frame != 3 else ()


class OnAnyThread(Between):
    def feed(self, step: Sequence[StepRecord]) -> Sequence[Event]:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(self.follower.feed, step).result()  # type: ignore[no-any-return]


class LosesARecord(Spoiled):
    between: type[Between] = SkippingOne

    def rewired(self, wiring: Wiring) -> Wiring:
        followers: Any = {label: self.between(follower) for label, follower in wiring.followers.items()}
        return attrs.evolve(wiring, followers=followers)


class FeedsOnAnyThread(LosesARecord):
    between = OnAnyThread


class MixesUpLabels(Spoiled):
    def rewired(self, wiring: Wiring) -> Wiring:
        return attrs.evolve(wiring, found=lambda label, events: wiring.found(label.upper(), events))


class CallsAtOnce(Spoiled):
    async def call(self, follower: str, function: Callable[[], Any]) -> Any:
        return await asyncio.to_thread(function)


class StopsWithAFollower(Spoiled):
    def rewired(self, wiring: Wiring) -> Wiring:
        failed: list[bool] = []

        class Noticing(Between):
            def feed(self, step: Sequence[StepRecord]) -> Sequence[Event]:
                try:
                    return self.follower.feed(step)  # type: ignore[no-any-return]
                except RuntimeError:
                    failed.append(True)
                    raise

        followers: Any = {label: Noticing(follower) for label, follower in wiring.followers.items()}
        deliver: Any = lambda frames: None if failed else wiring.deliver(frames)  # noqa: E731
        return attrs.evolve(wiring, followers=followers, deliver=deliver)

    def spoil(self, lane: StreamLane) -> None:
        push = lane.push

        async def one_at_a_time(block: Block) -> None:
            await push(block)
            await lane.drain()
            await self.call("bad", lambda: None)

        lane.push = one_at_a_time  # type: ignore[method-assign]


class PausesNever(Spoiled):
    def spoil(self, lane: StreamLane) -> None:
        async def nothing() -> None:
            pass

        lane.pause = nothing  # type: ignore[method-assign]


class RefusesWithoutASize(Spoiled):
    async def open(self, conversation: str, options: SlotOptions, state: ParkedState | None = None) -> StreamLane:
        try:
            return await super().open(conversation, options, state)
        except Full as full:
            raise Full(str(full), capacity=0, load=0.0) from None


class OpensWhenCancelled(Spoiled):
    async def open(self, conversation: str, options: SlotOptions, state: ParkedState | None = None) -> StreamLane:
        return await asyncio.shield(super().open(conversation, options, state))


class TakesWhenClosed(Spoiled):
    def spoil(self, lane: StreamLane) -> None:
        lane.require_live = lambda: None  # type: ignore[method-assign]


class MiscountsCommands(Spoiled):
    def spoil(self, lane: StreamLane) -> None:
        given = lane.command

        lane.command = lambda command: given(command) + 1  # type: ignore[method-assign]


class TakesNoPrompt(Spoiled):
    async def open(self, conversation: str, options: SlotOptions, state: ParkedState | None = None) -> StreamLane:
        return await super().open(conversation, attrs.evolve(options, prompt=None), state)


class Parks(Spoiled):
    def saved(self, save: Callable[[ParkedState], Awaitable[None]]) -> Callable[[ParkedState], Awaitable[None]]:
        return save

    def spoil(self, lane: StreamLane) -> None:
        park = lane.park
        lane.park = lambda save: park(self.saved(save))  # type: ignore[method-assign]


class ParksWithoutFollowers(Parks):
    def saved(self, save: Callable[[ParkedState], Awaitable[None]]) -> Callable[[ParkedState], Awaitable[None]]:
        return lambda state: save(attrs.evolve(state, followers={}))


class ParksWhatIsNotSaved(Parks):
    def saved(self, save: Callable[[ParkedState], Awaitable[None]]) -> Callable[[ParkedState], Awaitable[None]]:
        async def quietly(state: ParkedState) -> None:
            with suppress(CodaError):
                await save(state)

        return quietly


class TakesAnyState(Spoiled):
    async def open(self, conversation: str, options: SlotOptions, state: ParkedState | None = None) -> StreamLane:
        fitting = attrs.evolve(state, fingerprint=self.info.fingerprint) if state is not None else None
        return await super().open(conversation, options, fitting)


class KeepsFaultsToItself(Spoiled):
    def rewired(self, wiring: Wiring) -> Wiring:
        return attrs.evolve(wiring, broken=lambda conversation, message: None)


class BlamesAnother(Spoiled):
    def rewired(self, wiring: Wiring) -> Wiring:
        return attrs.evolve(wiring, broken=lambda conversation, message: wiring.broken("another", message))


class SaysItWasSomethingElse(Spoiled):
    def rewired(self, wiring: Wiring) -> Wiring:
        return attrs.evolve(wiring, lost=lambda error: wiring.lost(RuntimeError("something else")))


class Miscounts(Spoiled):
    def measures(self) -> Measures:
        return attrs.evolve(super().measures(), frames=0)


BROKEN: dict[str, type] = {
    "test_has_the_methods_of_its_protocol": MeasuresNothing,
    "test_processor_lives_on_one_thread_of_its_own": EntersTheProcessorOnTheLoop,
    "test_leaving_ends_every_thread": LeavesAThread,
    "test_starting_may_be_cancelled_at_every_await": LeavesTheProcessorWhereCancelled,
    "test_every_frame_is_answered_once_and_in_order": AnswersTwice,
    "test_blocks_of_any_format_are_taken": KnowsOneFormat,
    "test_drain_fills_the_last_frame_with_silence": ForgetsThePartialFrame,
    "test_samples_that_are_no_numbers_become_silence": CountsNoNan,
    "test_all_audio_of_a_step_is_handed_over_at_once": HandsOverOneByOne,
    "test_conversations_are_kept_apart": MixesThemUp,
    "test_followers_get_a_record_of_every_step": LosesARecord,
    "test_each_follower_has_one_thread_of_its_own": FeedsOnAnyThread,
    "test_what_followers_find_comes_back_under_their_label": MixesUpLabels,
    "test_a_call_on_a_followers_thread_sees_everything_before_it": CallsAtOnce,
    "test_a_raising_follower_disturbs_nobody": StopsWithAFollower,
    "test_a_follower_that_stands_still_costs_bounded_memory": Spoiled,
    "test_input_that_finds_no_room_is_counted_or_waits": Spoiled,
    "test_paused_stands_still_and_keeps_its_input": PausesNever,
    "test_a_full_house_refuses_and_has_room_again": RefusesWithoutASize,
    "test_opening_may_be_cancelled_at_every_await": OpensWhenCancelled,
    "test_a_closed_lane_takes_nothing": TakesWhenClosed,
    "test_a_command_reaches_the_processor_before_the_next_step": MiscountsCommands,
    "test_a_prompt_is_taken_in_before_anything_is_heard": TakesNoPrompt,
    "test_a_parked_conversation_goes_on_where_it_was": ParksWithoutFollowers,
    "test_a_conversation_that_cannot_be_saved_keeps_its_slot": ParksWhatIsNotSaved,
    "test_a_state_of_another_model_is_refused": TakesAnyState,
    "test_a_torn_slot_ends_alone": KeepsFaultsToItself,
    "test_a_step_that_raises_ends_those_who_took_part": BlamesAnother,
    "test_a_lost_processor_is_said_and_nobody_new_gets_in": SaysItWasSomethingElse,
    "test_measures_say_what_happened": Miscounts,
}
"""By the check that finds it out."""

CONFIGS: dict[str, OfflineConfig | RealtimeConfig] = {
    "test_a_follower_that_stands_still_costs_bounded_memory": RealtimeConfig(follower_queue_steps=100_000),
    "test_input_that_finds_no_room_is_counted_or_waits": OfflineConfig(buffer_frames=100_000),
}
"""Settings that are what is wrong."""
