"""The streaming manager `example`.

On the event loop a task collects frames and hands them to the model's thread, one step at a time; what comes back goes
to readers at once and to the followers' threads.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from functools import partial
from typing import Any

import numpy as np
import psutil
from coda_core import AudioFrame, CodaError, Context, Full, Incapable, ModelError, ProcessorLost, SlotOptions
from coda_core.events import Injection
from coda_core.interfaces import (
    Admission,
    Measures,
    ParkedState,
    ProcessorInfo,
    StepInput,
    StepOutput,
    StepRecord,
    Wiring,
)
from numpy.typing import NDArray

from coda_example.following import Following
from coda_example.lane import ExampleLane
from coda_example.register import ExampleConfig
from coda_example.timing import Times


class Example:
    """See `coda_core.interfaces.StreamingManager`."""

    realtime = False
    info: ProcessorInfo

    def __init__(self, config: ExampleConfig, context: Context) -> None:
        self.config, self.clock, self._logger = config, context.clock, context.logger
        self._lanes: dict[str, ExampleLane] = {}
        self._free: set[int] = set()
        self._followers: dict[str, Following] = {}
        self._lost: BaseException | None = None
        self._step_s, self._frames = Times(), 0
        self._changed = asyncio.Event()
        self._wiring: Wiring
        self._processor: Any
        self._model: ThreadPoolExecutor

    # Its life

    @asynccontextmanager
    async def run(self, wiring: Wiring) -> AsyncIterator[None]:
        self._wiring = wiring
        async with AsyncExitStack() as exits:
            self._model = ThreadPoolExecutor(1, thread_name_prefix="coda-model")
            exits.push_async_callback(self._joined, self._model)
            held = ExitStack()
            exits.push_async_callback(self._on_model, held.close)
            self._processor = await self._on_model(lambda: held.enter_context(wiring.open_processor()))
            self.info = self._processor.info
            self._free = set(range(self.info.slots))
            for label, follower in wiring.followers.items():
                following = Following(label, follower, wiring.found, self.moved, self._logger)
                exits.push_async_callback(self._joined, following.thread)
                self._followers[label] = following
            stepping = asyncio.create_task(self._step_forever())
            exits.push_async_callback(_ended, stepping)
            yield

    def moved(self) -> None:
        """Something has changed: whoever waits for something looks again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self) -> None:
        await self._changed.wait()

    # Conversations

    def admit(self) -> Admission:
        reason = ""
        if self._lost is not None:
            reason = f"the processor is lost: {self._lost}"
        elif len(self._lanes) >= self.info.slots:
            reason = f"all {self.info.slots} slots are taken"
        load = self._step_s.distribution().p95 / self.info.frame_s
        return Admission(ok=not reason, reason=reason, capacity=self.info.slots, load=load)

    async def open(self, conversation: str, options: SlotOptions, state: ParkedState | None = None) -> ExampleLane:
        if state is not None:
            self._require_fitting(state)
        while not (admission := self.admit()).ok or not self._free:
            if not admission.ok:
                raise Full(admission.reason, capacity=admission.capacity, load=admission.load)
            await self.change()  # a slot is still being wiped
        lane = ExampleLane(self, conversation, min(self._free), options)
        self._free.remove(lane.slot)
        self._lanes[conversation] = lane
        try:
            for label, following in self._followers.items():
                more = (state.followers[label],) if state is not None and label in state.followers else ()
                lane.followers.append(following)
                await self._finish(following.call(partial(following.follower.open, conversation, self.info, *more)))
            if state is None:
                prompt = await self._on_model(lambda: self._processor.open(lane.slot, options))
                for _ in range(prompt or 0):
                    await self._on_model(lambda: self._silent_step(lane.slot))
                lane.paused = False
            else:
                await self._on_model(lambda: self._processor.restore(lane.slot, state.options, state.slot))
                self._restore(lane, state)
        except BaseException:
            lane.end("closed")
            await self._finish(self.free(lane))
            raise
        self.moved()
        return lane

    async def free(self, lane: ExampleLane, *, flush: bool = True) -> None:
        """Wipe the slot, then let the followers give what they held back."""
        if self._lanes.pop(lane.conversation, None) is None:
            return  # the owner and a fault may come at the same time
        if self._lost is None:
            await self._on_model(lambda: self._processor.close(lane.slot))
        self._free.add(lane.slot)
        self.moved()
        for following in lane.followers:
            try:
                found = await following.call(partial(following.follower.close, lane.conversation))
            except Exception as error:
                self._logger.error(
                    "%s failed when conversation %s was closed: %s", following.label, lane.conversation, error
                )
            else:
                if flush:
                    self._wiring.found(following.label, found)

    async def call(self, follower: str, function: Callable[[], Any]) -> Any:
        return await self._followers[follower].call(function)

    # Parking

    async def export(self, lane: ExampleLane) -> ParkedState:
        """Return what a lane that stands still goes on from."""
        if "park" not in self.info.capabilities:
            raise Incapable("this processor cannot move a conversation out of its slot")
        commands, lane.commands = lane.commands, []

        def exported() -> Any:
            for command in commands:
                self._processor.command(lane.slot, command)
            return self._processor.export(lane.slot)

        slot = await self._on_model(exported)
        followers = {
            label: await each.call(partial(each.follower.export, lane.conversation))
            for label, each in self._followers.items()
        }
        waiting = np.concatenate([*(frame for frame, _ in lane.queue), lane.framing.rest])
        about = {"said": lane.said, "frames": len(lane.queue), "nan_samples": lane.framing.nan_samples}
        return ParkedState(
            conversation=lane.conversation,
            frame=lane.frame,
            fingerprint=self.info.fingerprint,
            options=lane.options,
            slot=slot,
            lane=json.dumps(about).encode() + b"\n" + waiting.astype("<f4").tobytes(),
            followers=followers,
        )

    def _require_fitting(self, state: ParkedState) -> None:
        if "park" not in self.info.capabilities or state.fingerprint != self.info.fingerprint:
            raise ModelError(
                f"the conversation was parked by another model: its fingerprint is {state.fingerprint}, and that "
                f"of the one that runs here {self.info.fingerprint}. Run the model that it talked to."
            )

    def _restore(self, lane: ExampleLane, state: ParkedState) -> None:
        head, _, waiting = state.lane.partition(b"\n")
        about = json.loads(head)
        pcm: NDArray[np.float32] = np.frombuffer(waiting, "<f4").astype(np.float32)
        samples, now = self.info.frame_samples, self.clock.now()
        lane.frame, lane.framing.nan_samples = state.frame, about["nan_samples"]
        lane.said = {int(number): text for number, text in about["said"].items()}
        lane.queue.extend((pcm[at * samples : (at + 1) * samples], now) for at in range(about["frames"]))
        lane.framing.rest = pcm[about["frames"] * samples :]

    # Steps

    async def _step_forever(self) -> None:
        while True:
            lanes = sorted((lane for lane in self._lanes.values() if lane.ready), key=lambda lane: lane.slot)
            behind = any(each.waiting >= self.config.follower_steps for each in self._followers.values())
            if not lanes or behind:
                await self.change()
                continue
            for lane in lanes:
                lane.stepping = True
            try:
                await self._step(lanes)
            finally:
                for lane in lanes:
                    lane.stepping = False
                self.moved()

    async def _step(self, lanes: Sequence[ExampleLane]) -> None:
        frames = [lane.queue.popleft() for lane in lanes]
        orders = [(lane.slot, command) for lane in lanes for command in lane.commands]
        for lane in lanes:
            lane.commands = []
        heard = np.stack([pcm for pcm, _ in frames])
        heard.flags.writeable = False
        heard_dbfs = _levels(heard)
        batch = StepInput(
            np.array([lane.slot for lane in lanes]), heard, heard_dbfs > self.config.speech_threshold_dbfs
        )

        def step() -> StepOutput:
            for slot, command in orders:
                self._processor.command(slot, command)
            output: StepOutput = self._processor.step(batch)
            return output

        began_s = self.clock.now()
        try:
            output = await self._on_model(step)
        except ProcessorLost as error:
            self._lose(error)
        except Exception as error:
            if not isinstance(error, CodaError):
                self._logger.error("a step failed", exc_info=error)
            for lane in lanes:
                await self._break(lane, f"a step of the model failed: {error}")
        else:
            self._step_s.add(self.clock.now() - began_s)
            self._hand_over(lanes, batch, output, heard_dbfs, [arrival_s for _, arrival_s in frames])
            for lane, failed in zip(lanes, output.failed.tolist(), strict=True):
                if failed:
                    await self._break(lane, "the model's state was no longer finite")

    def _hand_over(
        self,
        lanes: Sequence[ExampleLane],
        batch: StepInput,
        output: StepOutput,
        heard_dbfs: NDArray[np.float32],
        arrivals_s: Sequence[float],
    ) -> None:
        """Give the audio of a step to the readers, all at once, and its records to the followers."""
        now, info = self.clock.now(), self.info
        spoken_dbfs = _levels(output.pcm)
        output.pcm.flags.writeable = False
        frames: list[AudioFrame] = []
        records: list[StepRecord] = []
        at = {lane.slot: lane.frame for lane in lanes}
        for row, lane in enumerate(lanes):
            index, lane.frame = lane.frame, lane.frame + 1
            self._frames += 1
            if output.failed[row]:
                continue
            valid, lateness_s = bool(output.valid[row]), now - info.frame_s - arrivals_s[row]
            caller_speaking = bool(batch.caller_speaking[row])
            moshi_speaking = bool(valid and spoken_dbfs[row] > self.config.speech_threshold_dbfs)
            lane.lateness_s.add(lateness_s)
            lane.end_to_end_s.add(now - arrivals_s[row])
            frames.append(
                AudioFrame(
                    conversation=lane.conversation,
                    frame=index,
                    pcm=output.pcm[row],
                    heard=batch.pcm[row],
                    sample_rate_hz=info.sample_rate_hz,
                    valid=valid,
                    lateness_s=lateness_s,
                    caller_speaking=caller_speaking,
                    moshi_speaking=moshi_speaking,
                )
            )
            records.append(
                StepRecord(
                    conversation=lane.conversation,
                    frame=index,
                    heard=batch.pcm[row],
                    spoken=output.pcm[row] if valid else None,
                    heard_dbfs=float(heard_dbfs[row]),
                    spoken_dbfs=float(spoken_dbfs[row]),
                    caller_speaking=caller_speaking,
                    moshi_speaking=moshi_speaking,
                    token=int(output.token[row]) if valid else info.vocabulary.padding,
                    probability=float(output.probability[row]),
                    lateness_s=lateness_s,
                    injected=bool(output.injected is not None and output.injected[row]),
                )
            )
        self._wiring.deliver(frames)
        for following in self._followers.values():
            following.put(records)
        by_slot = {lane.slot: lane for lane in lanes}
        for notice in output.notices:
            lane = by_slot[notice.slot]
            text = lane.said.get(notice.command, "")
            if notice.status in ("finished", "cancelled", "expired"):
                lane.said.pop(notice.command, None)
            self._wiring.report(
                Injection(
                    conversation=lane.conversation,
                    frame=at[notice.slot],
                    command=notice.command,
                    status=notice.status,
                    text=text,
                )
            )

    def _silent_step(self, slot: int) -> None:
        """One step of a prompt: what it is given is not heard, and what it gives means nothing."""
        silence = np.zeros((1, self.info.frame_samples), np.float32)
        output = self._processor.step(StepInput(np.array([slot]), silence, np.zeros(1, np.bool_)))
        if output.failed[0]:
            raise ModelError("the model's state was no longer finite while it took in a prompt")

    async def _break(self, lane: ExampleLane, message: str) -> None:
        if lane.state == "live":
            lane.end("broken", message)
            await self.free(lane)
            self._wiring.broken(lane.conversation, message)

    def _lose(self, error: BaseException) -> None:
        self._lost = error
        for lane in tuple(self._lanes.values()):
            lane.end("broken", f"the processor is lost: {error}")
        self._wiring.lost(error)

    # Measures

    def measures(self) -> Measures:
        step = self._step_s.distribution()
        process = psutil.Process()
        return Measures(
            capacity=self.info.slots,
            live=len(self._lanes),
            paused=sum(lane.paused for lane in self._lanes.values()),
            load=step.p95 / self.info.frame_s,
            realtime_factor=self._frames * self.info.frame_s / max(step.mean * step.count, 1e-9),
            frames=self._frames,
            dropped_frames=0,
            late_frames=0,
            skipped_records=dict.fromkeys(self._followers, 0),
            cpu_cores=time.process_time() / max(time.time() - process.create_time(), 1e-9),
            resident_bytes=process.memory_info().rss,
            stages_s={"step": step},
            conversations={name: lane.measures() for name, lane in self._lanes.items()},
        )

    # Threads

    async def _on_model(self, function: Callable[[], Any]) -> Any:
        """Run `function` between two steps, to its end even where the caller is cancelled."""
        return await self._finish(asyncio.get_running_loop().run_in_executor(self._model, function))

    async def _joined(self, thread: ThreadPoolExecutor) -> None:
        await self._finish(asyncio.get_running_loop().run_in_executor(None, thread.shutdown))

    async def _finish(self, work: Any) -> Any:
        future = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            if not future.cancelled():
                future.exception()
            raise


def _levels(pcm: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the RMS level of each row in dBFS, -120 for silence."""
    rms = np.sqrt(np.mean(np.square(pcm), axis=1))
    levels: NDArray[np.float32] = np.maximum(20 * np.log10(np.maximum(rms, 1e-9)), -120).astype(np.float32)
    return np.minimum(levels, 0)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


@asynccontextmanager
async def open_example(config: ExampleConfig, context: Context) -> AsyncIterator[Example]:
    """Make the manager; its threads live while `run` is entered."""
    yield Example(config, context)
