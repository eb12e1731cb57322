"""A conversation out of its slot: its parts are gathered at one frame boundary, and understood again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from coda_core.errors import CodaError, Incapable, ModelError, PluginError
from coda_core.interfaces import Follower, ParkedState, ProcessorInfo
from coda_streaming.following import FollowerThread
from coda_streaming.lane import StreamLane
from coda_streaming.lane_state import LaneState
from coda_streaming.policy import Policy

__all__ = ["Asked", "SlotState", "gathered", "idlest", "understood"]


_NOTHING: Final[NDArray[np.float32]] = np.zeros(0, np.float32)


@attrs.frozen(eq=False, kw_only=True)
class SlotState:
    """The worker's share of a parked conversation."""

    frame: int
    slot: Mapping[str, NDArray[Any]]
    caller: tuple[bool, int, float]
    moshi: tuple[bool, int, float]
    said: Mapping[int, str]
    prompt_left: int


class Asked:
    """What a follower holds of a conversation, asked for on the worker: behind all records that it has put so far."""

    def __init__(self, follower: FollowerThread, conversation: str) -> None:
        self.missed = follower.missed(conversation)
        """Records that it was too slow for and was not told of."""
        self._label = follower.label
        self._answer: Future[bytes] = Future()
        follower.ask(partial(self._ask, follower.follower, conversation), self._answer)

    async def answer(self) -> bytes:
        """Wait for what it holds; raises `PluginError` where it cannot say."""
        try:
            return await asyncio.wrap_future(self._answer)
        except CodaError:
            raise
        except Exception as error:
            raise PluginError(
                f'"{self._label}" could not say what it holds of the conversation, which therefore cannot be parked: '
                f"{type(error).__name__}: {error}"
            ) from error

    def _ask(self, follower: Follower, conversation: str) -> None:
        if self._answer.set_running_or_notify_cancel():
            try:
                self._answer.set_result(follower.export(conversation))
            except Exception as error:
                self._answer.set_exception(error)


async def gathered(
    lane: StreamLane, at: SlotState, asked: Mapping[str, Asked], *, late: int, fingerprint: str
) -> ParkedState:
    """Return all parts of a lane at the frame boundary at which `at` and `asked` were taken from the worker.

    Of a lane that stands still since then its input is a part. Where one goes on from this after a kill, the input
    of a lane that did not stand still is long gone.
    """
    exported = {label: await each.answer() for label, each in asked.items()}
    format, rest = lane.framing() if lane.paused else (None, _NOTHING)
    state = LaneState(
        queue=[each.pcm for each in lane.queue] if lane.paused else [],
        rest=rest,
        format=format,
        caller=at.caller,
        moshi=at.moshi,
        said=at.said,
        missed={label: each.missed for label, each in asked.items()},
        prompt_left=at.prompt_left,
        gap=lane.gap if lane.paused else 0,
        dropped=lane.dropped,
        filled=lane.filled,
        late=late,
        nan_samples=lane.nan_samples,
    )
    return ParkedState(
        conversation=lane.conversation,
        frame=at.frame,
        fingerprint=fingerprint,
        options=lane.options,
        slot=at.slot,
        lane=state.to_bytes(),
        followers=exported,
    )


def understood(state: ParkedState, info: ProcessorInfo) -> LaneState:
    """Return the lane's part of a state that this processor can go on from; raises `ModelError`."""
    if "park" not in info.capabilities:
        raise Incapable("this processor cannot go on from a parked conversation")
    if state.fingerprint != info.fingerprint:
        raise ModelError(
            f"the conversation was parked by another model: its fingerprint is {state.fingerprint}, and that of the "
            f"one that runs here {info.fingerprint}. Run the model that it talked to."
        )
    return LaneState.from_bytes(state.lane, info.frame_samples)


def idlest(
    lanes: Iterable[StreamLane], policy: Policy, now: float, spoke_s: Callable[[StreamLane], float]
) -> str | None:
    """Return whom to park for a caller that waits: who has stood still or been silent for longest, if anybody."""
    idle: list[tuple[float, str]] = []
    for lane in lanes:
        if lane.state != "live" or lane.parking or lane.opening:
            continue
        if lane.paused:
            since = lane.paused_since_s
        elif policy.park_idle == "silent":
            since = spoke_s(lane)
        else:
            continue
        if now - since >= policy.park_after_s:
            idle.append((since, lane.conversation))
    return min(idle)[1] if idle and policy.park_idle != "never" else None
