"""The streaming managers `realtime` and `offline`: lanes, slots, admission and measures. On the event loop.

Both are the same machine under another policy: one drops and admits by measurement, the other makes senders wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from functools import partial
from typing import Any, Final, TypeVar

from coda_core.errors import CodaError, Full, Incapable, ModelError, PluginError
from coda_core.events import Event, Gap, Quarantined
from coda_core.interfaces import (
    Admission,
    Context,
    LaneMeasures,
    Measured,
    Measures,
    ParkedState,
    Processor,
    ProcessorInfo,
    SlotOptions,
    Wiring,
)
from coda_streaming.capacity import measure_capacity
from coda_streaming.config import OfflineConfig, RealtimeConfig
from coda_streaming.following import FollowerThread
from coda_streaming.lane import StreamLane
from coda_streaming.measuring import Meter
from coda_streaming.memory_guard import MemoryGuard
from coda_streaming.parking import gathered, idlest, understood
from coda_streaming.pipeline import Pipeline, StepDone
from coda_streaming.policy import Policy
from coda_streaming.worker import Worker

__all__ = ["Streaming", "open_streaming"]

_logger = logging.getLogger("coda.streaming")
_LOOK_S: Final = 1.0
"""How often somebody looks whether a follower hangs."""
T = TypeVar("T")


@asynccontextmanager
async def open_streaming(config: RealtimeConfig | OfflineConfig, context: Context) -> AsyncIterator[Streaming]:
    """Make a manager; its threads live while `Streaming.run` is entered."""
    yield Streaming(Policy.of(config), context)


class Streaming:
    """See `coda_core.interfaces.StreamingManager`."""

    info: ProcessorInfo
    worker: Worker

    def __init__(self, policy: Policy, context: Context) -> None:
        self.policy = policy
        self.realtime = policy.realtime
        self.clock = context.clock
        self.dropped = 0
        self._lanes: dict[str, StreamLane] = {}
        self._free: set[int] = set()
        self._freed = asyncio.Event()
        self._capacity = 0
        self._followers: dict[str, FollowerThread] = {}
        self._lost: BaseException | None = None
        self._endings: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop
        self._wiring: Wiring
        self._pipeline: Pipeline
        self._meter: Meter
        self._guard: MemoryGuard

    @asynccontextmanager
    async def run(self, wiring: Wiring) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        self._wiring = wiring
        self.worker = Worker.acquire(wiring.worker, self.clock)
        try:
            entered, processor = await self._finishing(self.worker.call(lambda: _enter(wiring.open_processor())))
            try:
                await self._start(processor)
                works = (self._report_measures(), self._guard.run(), self._watch_followers())
                tasks = [asyncio.create_task(work) for work in works]
                try:
                    yield
                finally:
                    for task in tasks:
                        task.cancel()
                    await self._stop()
            finally:
                await self._finishing(self.worker.call(lambda: entered.__exit__(None, None, None)))
        finally:
            await asyncio.to_thread(self.worker.release)

    def admit(self) -> Admission:
        load = self._meter.load(self.clock.now())
        reason = ""
        if self._lost is not None:
            reason = f"the processor is lost: {self._lost}"
        elif self._guard.refusal:
            reason = self._guard.refusal
        elif len(self._lanes) >= self._capacity:
            reason = f"all {self._capacity} slots are taken"
        elif self.realtime and self._lanes and load > 1 - self.policy.headroom:
            reason = "this machine has no time to spare at the moment"
        park_first = None
        full = len(self._lanes) >= self._capacity and not self._guard.refusal
        if full and "park" in self.info.capabilities:
            park_first = idlest(self._lanes.values(), self.policy, self.clock.now(), self._pipeline.spoke_s)
        return Admission(ok=not reason, reason=reason, capacity=self._capacity, load=load, park_first=park_first)

    async def open(self, conversation: str, options: SlotOptions, state: ParkedState | None = None) -> StreamLane:
        past = understood(state, self.info) if state is not None else None
        while not (admission := self.admit()).ok or not self._free:
            if not admission.ok:
                raise Full(admission.reason, capacity=admission.capacity, load=admission.load)
            self._freed.clear()  # a slot is still being wiped, which takes no longer than a step
            await self._freed.wait()
        slot = min(self._free)
        self._free.remove(slot)
        self._meter.fresh(slot)
        lane = StreamLane(self, conversation, slot, options)
        self._lanes[conversation] = lane
        try:
            for label, follower in self._followers.items():
                await self._open_follower(follower, conversation, state.followers.get(label) if state else None)
            if state is not None and past is not None:
                lane.restore(state.frame, past)
                for label, missed in past.missed.items():
                    if label in self._followers:
                        self._followers[label].has_missed(conversation, missed)
                has_prompt = await self.worker.call(partial(self._pipeline.restore, lane, state, past))
            else:
                has_prompt = await self.worker.call(partial(self._pipeline.open, lane))
            if has_prompt:
                await lane.prompted.wait()
            if lane.state != "live":
                raise ModelError(f"the conversation ended before its prompt was taken in: {lane.fault}")
            lane.opening = False
            if past is not None:
                lane.refill(past.queue)
        except BaseException:
            lane.end("closed")
            await self._finishing(self.close_lane(lane))
            raise
        return lane

    async def call(self, follower: str, function: Callable[[], T]) -> T:
        return await self._followers[follower].call(function)

    def measures(self) -> Measures:
        meter = self._meter
        followers = {f"follow:{label}": each.latency.distribution() for label, each in self._followers.items()}
        return Measures(
            capacity=self._capacity,
            live=len(self._lanes),
            paused=sum(lane.paused for lane in self._lanes.values()),
            load=meter.load(self.clock.now()),
            realtime_factor=meter.realtime_factor,
            frames=meter.frames,
            dropped_frames=self.dropped,
            late_frames=meter.late,
            skipped_records={label: each.skipped for label, each in self._followers.items()},
            cpu_cores=meter.cpu_share(),
            resident_bytes=meter.resident_bytes(),
            stages_s={**meter.stages(), **followers},
            conversations={id: self.lane_measures(lane) for id, lane in self._lanes.items()},
            followers={label: each.conduct.measures() for label, each in self._followers.items()},
        )

    # For lanes

    def lane_measures(self, lane: StreamLane) -> LaneMeasures:
        end_to_end, lateness, late = self._meter.lane(lane.slot)
        with self.worker.condition:
            queued, next_frame = len(lane.queue), lane.frame + len(lane.queue)
        return LaneMeasures(
            frames=lane.frames_before + end_to_end.count,
            queued_frames=queued,
            next_frame=next_frame,
            dropped_frames=lane.dropped,
            late_frames=lane.late_before + late,
            filled_frames=lane.filled,
            nan_samples=lane.nan_samples,
            paused=lane.paused,
            lateness_s=lateness,
            end_to_end_s=end_to_end,
            queue_s=self._meter.lane_queue(lane.slot),
        )

    def wants_to_know(self, lane: StreamLane) -> bool:
        """Return whether the worker should look again, as the lane has a first frame; with its condition held."""
        return self._pipeline.worth_waking(lane)

    async def checkpoint_lane(self, lane: StreamLane) -> ParkedState:
        """Return what the lane could go on from; it goes on here."""
        self._require_parking()
        try:
            at, asked = await self.worker.call(partial(self._pipeline.checkpoint, lane, self._followers))
        except CodaError:
            raise
        except Exception as error:
            raise _not_exported(error) from error
        late = lane.late_before + self._meter.lane(lane.slot)[2]
        return await gathered(lane, at, asked, late=late, fingerprint=self.info.fingerprint)

    async def park_lane(self, lane: StreamLane, save: Callable[[ParkedState], Awaitable[None]]) -> None:
        """Have `save` store what the paused lane goes on from, then free its slot."""
        await save(await self.checkpoint_lane(lane))
        lane.require_live()
        lane.end("parked")
        await self.close_lane(lane, flush=False)

    async def close_lane(self, lane: StreamLane, *, flush: bool = True) -> None:
        """Free the slot, then close the followers and, with `flush`, deliver what they still held."""
        if self._lanes.pop(lane.conversation, None) is None:
            return  # somebody else is at it: the owner and a fault may come at the same time
        try:
            await self.worker.call(lambda: self._pipeline.close(lane))
        except Exception:
            # It may hold something of this conversation, so nobody else gets it.
            self._capacity -= 1
            _logger.exception(
                "slot %d could not be wiped and is out of use until Coda starts again; %d are left",
                lane.slot,
                self._capacity,
            )
        else:
            self._free.add(lane.slot)
        self._freed.set()
        if not self._lanes:
            self._meter.idle()
        if flush and lane.gap and self._lost is None:  # no step comes any more that could say so
            self._wiring.report(Gap(conversation=lane.conversation, frame=lane.frame, frames=lane.gap))
        for label, follower in self._followers.items():
            if follower.has(lane.conversation):
                try:
                    found = await follower.call(partial(follower.follower.close, lane.conversation), "close")
                except PluginError as error:
                    _logger.error("what %s held of conversation %s is lost: %s", label, lane.conversation, error)
                except Exception:
                    _logger.exception("%s failed when conversation %s was closed", label, lane.conversation)
                else:
                    if flush:
                        self._wiring.found(label, found)
            follower.forget(lane.conversation)
        lane.moved.set()

    async def break_lane(self, lane: StreamLane, message: str) -> None:
        """End a lane by a fault, and say so."""
        if lane.state == "live":
            lane.end("broken", message)
            await self._wind_up(lane)

    async def _wind_up(self, lane: StreamLane) -> None:
        await self.close_lane(lane)
        self._wiring.broken(lane.conversation, lane.fault)

    def _require_parking(self) -> None:
        if "park" not in self.info.capabilities:
            raise Incapable("the processor cannot move a conversation out of its slot")

    # Inner life

    async def _start(self, processor: Processor) -> None:
        # Before anything is made for as many slots as the processor has: it may have fewer afterwards.
        self._capacity = await self._measure_capacity(processor) if self.realtime else processor.info.slots
        self.info = info = processor.info
        self._guard = MemoryGuard(processor, self.worker, self.clock, self._wiring.report)
        self._meter = Meter(info.slots, info.frame_s, realtime=self.realtime)
        self._free = set(range(self._capacity))
        for label, follower in self._wiring.followers.items():
            self._followers[label] = FollowerThread(
                label,
                follower,
                queue_steps=self.policy.follower_queue_steps,
                clock=self.clock,
                found=self._found,
                relieved=self._wake,
                rules=self.policy.containment,
                left_out=partial(self._on_loop, self._left_out),
                indispensable=label in self._wiring.indispensable,
            )
        self._pipeline = Pipeline(
            processor,
            self.worker,
            self.clock,
            self.policy,
            tuple(self._followers.values()),
            hand_over=lambda step: self._on_loop(self._handed_over, step),
            lost=lambda error: self._on_loop(self._processor_lost, error),
        )
        self.worker.add(self._pipeline)

    async def _stop(self) -> None:
        self.worker.remove(self._pipeline)
        await asyncio.gather(*self._endings, return_exceptions=True)
        for follower in self._followers.values():
            await asyncio.to_thread(follower.stop)

    async def _measure_capacity(self, processor: Processor) -> int:
        frame_s = processor.info.frame_s
        budget_s = frame_s * (1 - self.policy.headroom)
        found = await self._finishing(self.worker.call(lambda: measure_capacity(processor, self.clock, budget_s)))
        found.tell(frame_s)
        return found.slots

    def _handed_over(self, step: StepDone) -> None:
        self._wiring.deliver(step.frames)
        if step.lanes:
            self._meter.add(step, self.clock.now())
        for event in step.events:
            self._wiring.report(event)
        for lane, message in step.broken:
            if lane.state == "live":
                lane.end("broken", message)
                if not lane.opening:  # else who opens it sees that it has ended, and cleans up
                    self._in_background(self._wind_up(lane))
        for lane in step.prompted:
            lane.prompted.set()
        for lane in step.lanes:
            if lane.unanswered:
                lane.unanswered -= 1
            lane.moved.set()

    def _processor_lost(self, error: BaseException) -> None:
        self._lost = error
        for lane in tuple(self._lanes.values()):
            lane.end("broken", f"the processor is lost: {error}")
            self._in_background(self.close_lane(lane))
        self._wiring.lost(error)

    async def _open_follower(self, follower: FollowerThread, conversation: str, state: bytes | None) -> None:
        """Tell a follower of a conversation; a new one goes on without a follower that cannot take it."""
        if follower.abandoned:
            return
        more = () if state is None else (state,)
        try:
            await follower.call(partial(follower.follower.open, conversation, self.info, *more), "open")
        except Exception:
            if state is not None or follower.indispensable:
                raise
            _logger.exception(
                "%s could not open conversation %s, which goes on without it", follower.label, conversation
            )
            follower.leave_out(conversation)

    def _left_out(self, label: str, reason: str, message: str) -> None:
        _logger.critical("%s", message)
        self._wiring.report(Quarantined(who=label, reason=reason, message=message, time_s=self.clock.wall()))

    async def _watch_followers(self) -> None:
        due = self.clock.now()
        while True:
            due = max(due + _LOOK_S, self.clock.now())
            await self.clock.sleep_until(due)
            for follower in self._followers.values():
                follower.look()

    async def _report_measures(self) -> None:
        interval = self.policy.measures_interval_s
        due = self.clock.now()
        while interval is not None:
            due += interval
            await self.clock.sleep_until(due)
            self._wiring.report(Measured(measures=self.measures(), time_s=self.clock.wall()))

    def _found(self, label: str, events: Sequence[Event]) -> None:
        self._on_loop(self._wiring.found, label, events)

    def _wake(self) -> None:
        with self.worker.condition:
            self.worker.condition.notify()

    def _on_loop(self, function: Callable[..., None], *arguments: Any) -> None:
        self._loop.call_soon_threadsafe(function, *arguments)

    def _in_background(self, ending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(ending)
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    @staticmethod
    async def _finishing(work: Coroutine[Any, Any, T]) -> T:
        """Await `work` to its end even where the caller is cancelled meanwhile; then let the cancellation go on."""
        task = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait((task,))
            if task.done() and not task.cancelled():
                task.exception()
            raise


def _not_exported(error: Exception) -> ModelError:
    return ModelError(f"the processor could not export the conversation's state: {error}")


def _enter(manager: AbstractContextManager[Processor]) -> tuple[AbstractContextManager[Processor], Processor]:
    return manager, manager.__enter__()
