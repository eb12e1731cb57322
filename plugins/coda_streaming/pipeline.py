"""One step: ready frames in, records and audio out. Runs on the worker.

Invariants: a step takes one frame of every lane that is ready and leaves all others alone; all audio of a step is
handed to the event loop at once; each follower gets one put for a step; nothing here waits for the loop, a
follower or a lock that is held across a step.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from coda_core.audio import AudioFrame
from coda_core.clock import Clock
from coda_core.commands import Command
from coda_core.errors import CodaError, ProcessorLost
from coda_core.events import Event, Fault, Gap
from coda_core.interfaces import ParkedState, Processor, StepInput, StepOutput
from coda_core.records import record
from coda_streaming.activity import Side, SpeechActivity, levels_dbfs
from coda_streaming.commanding import cancelled, noticed, pass_on
from coda_streaming.following import FollowerThread
from coda_streaming.lane import Queued, StreamLane
from coda_streaming.lane_state import LaneState
from coda_streaming.parking import Asked, SlotState
from coda_streaming.policy import Policy
from coda_streaming.prompting import Prompting, step_with
from coda_streaming.recording import check, frames_and_records, silenced
from coda_streaming.worker import Worker

__all__ = ["Pipeline", "StepDone"]

_logger = logging.getLogger("coda.streaming")

_OVERDUE_FRAMES = 1.5
"""Frames after the last one at which input counts as missing, where silence stands in for it."""


@record(eq=False)
class StepDone:
    """What one step hands over to the event loop."""

    lanes: Sequence[StreamLane]
    """All that took part, also those whose slot failed."""
    frames: Sequence[AudioFrame]
    events: Sequence[Event]
    broken: Sequence[tuple[StreamLane, str]]
    arrival_s: NDArray[np.float64]
    """``[len(lanes)]``"""
    start_s: float
    done_s: float
    stage_s: Mapping[str, float]
    prompted: Sequence[StreamLane] = ()
    """Those whose prompt was taken in by this step."""
    others_s: float = 0.0
    """What other pipelines took of the worker since this one's step before, for each frame's time."""


class Pipeline:
    """The worker's side of one streaming manager. Implements `Pipelined`."""

    def __init__(
        self,
        processor: Processor,
        worker: Worker,
        clock: Clock,
        policy: Policy,
        followers: Sequence[FollowerThread],
        hand_over: Callable[[StepDone], None],
        lost: Callable[[BaseException], None],
    ) -> None:
        self.processor = processor
        self.lanes: dict[int, StreamLane] = {}
        """By slot, in ascending order; guarded by the worker's condition."""
        self._info = processor.info
        self._worker = worker
        self._clock = clock
        self._policy = policy
        self._followers = followers
        self._hand_over = hand_over
        self._lost = lost
        self._dead = False
        self._idle, self._missing = True, 0
        """Whether nothing was ready when the worker last looked, and how many lanes had no frame; by its condition."""
        slots, activity = self._info.slots, policy.activity
        self._caller = SpeechActivity(slots, activity.threshold_dbfs, activity.margin_db, activity.hangover_frames)
        self._moshi = SpeechActivity(slots, activity.threshold_dbfs, activity.margin_db, activity.hangover_frames)
        self._spoke_s = np.zeros(slots, np.float64)
        self._batch = np.zeros((slots, self._info.frame_samples), np.float32)
        self._silence = np.zeros(self._info.frame_samples, np.float32)
        self._silence.flags.writeable = False
        self._prompting = Prompting(self._info.frame_s, realtime=policy.realtime)
        self._began_s, self._own_s, self._busy_then_s = self._clock.now(), 0.0, worker.busy_s
        """When the latest step began, what it took of the worker, and how busy that had been till then."""

    def spoke_s(self, lane: StreamLane) -> float:
        """Return when a side of the lane's conversation last spoke; its opening counts too. Any thread."""
        return float(self._spoke_s[lane.slot])

    # Called by the manager, through the worker

    def open(self, lane: StreamLane) -> bool:
        """Give the lane its slot; return whether it has a prompt to take in."""
        with self._failing_where_lost():
            self._fresh(lane)
        return self._admit(lane)

    def restore(self, lane: StreamLane, parked: ParkedState, state: LaneState) -> bool:
        """Give the lane its slot, where it goes on from what was parked."""
        processor: Any = self.processor
        with self._failing_where_lost():
            processor.restore(lane.slot, parked.options, parked.slot)
        self._caller.restore(lane.slot, state.caller)
        self._moshi.restore(lane.slot, state.moshi)
        return self._admit(lane)

    def export(self, lane: StreamLane) -> SlotState:
        """Return what the lane goes on from; the processor has every command by then. It keeps its slot."""
        with self._worker.condition:
            commands, lane.commands = lane.commands, []
        with self._failing_where_lost():
            events = pass_on(self.processor, lane, commands)
        if events:
            now = self._clock.now()
            self._hand_over(StepDone((), (), events, (), np.zeros(0), now, now, {}))
        processor: Any = self.processor
        with self._failing_where_lost():
            slot = processor.export(lane.slot)
        return SlotState(
            frame=lane.frame,
            slot=slot,
            caller=self._caller.export(lane.slot),
            moshi=self._moshi.export(lane.slot),
            said=dict(lane.said),
            prompt_left=lane.prompt_left,
        )

    def checkpoint(
        self, lane: StreamLane, followers: Mapping[str, FollowerThread]
    ) -> tuple[SlotState, Mapping[str, Asked]]:
        """Return what `export` does, and what the followers hold when they have taken all records up to there."""
        at = self.export(lane)
        return at, {
            label: Asked(follower, lane.conversation)
            for label, follower in followers.items()
            if follower.has(lane.conversation)
        }

    def close(self, lane: StreamLane) -> None:
        """Take the slot back and wipe it; where the device is lost there is nothing to wipe."""
        with self._worker.condition:
            self.lanes.pop(lane.slot, None)
            lane.queue.clear()
            lane.removed = True
            self._prompting.discard(lane)
        if not self._dead:
            with suppress(ProcessorLost), self._failing_where_lost():
                self.processor.close(lane.slot)

    def worth_waking(self, lane: StreamLane) -> bool:
        """Return whether the first frame in a lane's queue changes when the next step starts.

        With the condition held. It does where nothing was ready before, and where everybody is ready now; in
        between the worker would only wake, look and wait for the same moment again.
        """
        if lane.paused or lane.prompt_left:
            return False
        was_idle, self._idle = self._idle, False
        self._missing -= 1
        return was_idle or self._missing <= 0

    # Called by the worker

    def due(self) -> float | None:
        if self._dead or (self._policy.overflow is None and any(follower.full for follower in self._followers)):
            return None
        oldest: float | None = None
        everybody, missing = True, 0
        for lane in self.lanes.values():
            if lane.paused or lane.prompt_left:
                continue
            if lane.queue:
                ready: float | None = lane.queue[0].arrival_s
            else:
                missing += 1
                ready = self._overdue_at(lane)
            if ready is None:
                everybody = False
            elif oldest is None or ready < oldest:
                oldest = ready
        self._idle, self._missing = oldest is None, missing
        if oldest is None and self._prompting:
            others = (lane for lane in self.lanes.values() if not lane.paused and not lane.prompt_left)
            return self._prompting.due(others, self._clock.now())
        if oldest is None or everybody:
            return oldest
        return oldest + self._policy.gather_s

    def step(self) -> None:
        began_s = self._clock.now()
        lanes, queued, gaps, commanded = self._take()
        riders = self._prompting.riders()
        if not lanes and not riders:
            return
        events: list[Event] = list(gaps)
        for lane, commands in commanded:
            events += pass_on(self.processor, lane, commands)
        slots = np.array([lane.slot for lane in lanes], np.int64)
        arrival_s = np.array([each.arrival_s for each in queued], np.float64)
        heard, pcm = self._hear(lanes, slots, queued)
        start = self._clock.now()
        faults: list[tuple[StreamLane, str]] = []
        frames: Sequence[AudioFrame] = ()
        stage_s: Mapping[str, float] = {}
        try:
            batch = StepInput(slots, pcm, heard.speaking)
            output, failed_riders = step_with(self._step, batch, riders) if riders else (self._step(batch), ())
        except ProcessorLost as error:
            self.fail(error)
            return
        except Exception as error:
            done = self._clock.now()
            if not isinstance(error, CodaError):
                _logger.exception("a step of %d conversations failed", len(lanes))
            faults = [(lane, f"a step of the model failed: {error}") for lane in (*lanes, *riders)]
        else:
            done = self._clock.now()
            stage_s = output.stage_s
            frames = self._finish(lanes, slots, arrival_s, heard, output, done)
            torn = [lane for lane, failed in zip(lanes, output.failed.tolist(), strict=True) if failed]
            faults = [(lane, "the model's state was no longer finite") for lane in (*torn, *failed_riders)]
            if output.notices:
                events += noticed(self.lanes, output.notices)
        self._prompting.stepped(start, done)
        prompted: Sequence[StreamLane] = ()
        if riders:
            with self._worker.condition:
                prompted = self._prompting.advance(riders, {lane for lane, _ in faults})
        try:
            broken = self._contain(faults, events)
        except ProcessorLost as error:
            self.fail(error)
            return
        if lanes or events or broken or prompted:
            others = self._others_s(began_s)
            self._hand_over(StepDone(lanes, frames, events, broken, arrival_s, start, done, stage_s, prompted, others))
        self._own_s = self._clock.now() - began_s

    def _others_s(self, began_s: float) -> float:
        """Return what other pipelines had of the worker since the step before, for each frame's time."""
        frame_s, busy_s = self._info.frame_s, self._worker.busy_s
        others_s = busy_s - self._busy_then_s - self._own_s
        others_s *= frame_s / max(frame_s, began_s - self._began_s)
        self._began_s, self._busy_then_s = began_s, busy_s
        return max(0.0, others_s)

    def fail(self, error: BaseException) -> None:
        if not self._dead:
            self._dead = True
            self._lost(error)

    @contextmanager
    def _failing_where_lost(self) -> Iterator[None]:
        """Let a lost device end everything also where it shows between steps, and perhaps nobody steps any more."""
        try:
            yield
        except ProcessorLost as error:
            self.fail(error)
            raise

    def _overdue_at(self, lane: StreamLane) -> float | None:
        """Return when a frame of a lane without one should have come, where silence stands in for it."""
        if self._policy.fill_missing and lane.last_arrival_s is not None:
            return lane.last_arrival_s + _OVERDUE_FRAMES * self._info.frame_s
        return None

    def _hear(
        self, lanes: Sequence[StreamLane], slots: NDArray[np.int64], queued: Sequence[Queued]
    ) -> tuple[Side, NDArray[np.float32]]:
        """Return the callers' side of a step, and its frames as the processor gets them, ``[n, frame_samples]``."""
        frames = [each.pcm for each in queued]
        pcm = self._joined(frames)
        levels = levels_dbfs(pcm)
        if not np.isfinite(levels).all():
            frames = silenced(lanes, pcm)
            pcm = self._joined(frames)
            levels = levels_dbfs(pcm)
        return Side(frames, levels, self._caller.update(slots, levels)), pcm

    def _joined(self, frames: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return frames as one array ``[n, frame_samples]`` that is good for this step only.

        A new one for each step would be so large that the allocator takes it from the system and gives it back: that
        costs ten times the copy.
        """
        batch = self._batch[: len(frames)]
        if frames:
            np.concatenate(frames, out=batch.reshape(-1))
        return batch

    def _step(self, batch: StepInput) -> StepOutput:
        output = self.processor.step(batch)
        check(output, batch.pcm.shape)
        if np.may_share_memory(output.pcm, batch.pcm):  # the next step would write over it
            output = attrs.evolve(output, pcm=output.pcm.copy())
        return output

    def _take(self) -> tuple[list[StreamLane], list[Queued], list[Gap], list[tuple[StreamLane, list[Command]]]]:
        lanes: list[StreamLane] = []
        queued: list[Queued] = []
        gaps: list[Gap] = []
        commanded: list[tuple[StreamLane, list[Command]]] = []
        with self._worker.condition:
            now = self._clock.now()
            for lane in self.lanes.values():
                if lane.paused or lane.prompt_left:
                    continue
                if lane.queue:
                    frame = lane.queue.popleft()
                    lane.last_arrival_s = frame.arrival_s
                else:
                    ready = self._overdue_at(lane)
                    if ready is None or ready > now:
                        continue
                    frame = Queued(self._silence, ready)
                    lane.last_arrival_s = ready - (_OVERDUE_FRAMES - 1) * self._info.frame_s
                    lane.filled += 1
                if lane.gap:
                    gaps.append(Gap(conversation=lane.conversation, frame=lane.frame, frames=lane.gap))
                    lane.gap = 0
                if lane.commands:
                    commanded.append((lane, lane.commands))
                    lane.commands = []
                lane.frame += 1
                lanes.append(lane)
                queued.append(frame)
        return lanes, queued, gaps, commanded

    def _finish(
        self,
        lanes: Sequence[StreamLane],
        slots: NDArray[np.int64],
        arrival_s: NDArray[np.float64],
        heard: Side,
        output: StepOutput,
        done: float,
    ) -> Sequence[AudioFrame]:
        """Make the step's records and frames, and put the records to the followers."""
        output.pcm.flags.writeable = False
        levels = levels_dbfs(output.pcm)
        spoken = Side(list(output.pcm), levels, self._moshi.update(slots, levels))
        self._spoke_s[slots[heard.speaking | spoken.speaking]] = done
        hangover = self._policy.activity.hangover_frames
        frames, records = frames_and_records(lanes, arrival_s, heard, spoken, output, done, self._info, hangover)
        if records:
            for follower in self._followers:
                follower.put(records, done)
        return frames

    def _contain(self, faults: Sequence[tuple[StreamLane, str]], events: list[Event]) -> list[tuple[StreamLane, str]]:
        """Restart or close what a fault has torn; return the lanes that end."""
        ended: list[tuple[StreamLane, str]] = []
        for lane, message in faults:
            try:
                self.processor.close(lane.slot)
                if self._policy.on_fault == "restart" and not lane.removed and not lane.opening:
                    events += cancelled(lane, list(lane.said))
                    self._fresh(lane)
                    event = Fault(conversation=lane.conversation, frame=lane.frame, message=message, restarted=True)
                    events.append(event)
                    continue
            except ProcessorLost:
                raise
            except Exception as error:
                _logger.exception("the slot of conversation %s could not be made afresh", lane.conversation)
                message = f"{message}; and it could not be restarted: {error}"
            with self._worker.condition:
                self.lanes.pop(lane.slot, None)
                lane.queue.clear()
                lane.removed = True
                self._prompting.discard(lane)
            ended.append((lane, message))
        return ended

    def _fresh(self, lane: StreamLane) -> None:
        self._caller.reset(lane.slot)
        self._moshi.reset(lane.slot)
        prompt = self.processor.open(lane.slot, lane.options) or 0
        with self._worker.condition:
            lane.prompt_left = prompt
            self._prompting.note(lane)

    def _admit(self, lane: StreamLane) -> bool:
        self._spoke_s[lane.slot] = self._clock.now()
        with self._worker.condition:
            self._prompting.note(lane)
            self.lanes = dict(sorted([*self.lanes.items(), (lane.slot, lane)]))
        return bool(lane.prompt_left)
