"""A conversation out of its slot: its parts are gathered at one frame boundary, and understood again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import attrs
from numpy.typing import NDArray

from coda_core.errors import CodaError, Incapable, ModelError, PluginError
from coda_core.interfaces import ParkedState, ProcessorInfo
from coda_streaming.following import FollowerThread
from coda_streaming.lane import StreamLane
from coda_streaming.lane_state import LaneState
from coda_streaming.policy import Policy

__all__ = ["SlotState", "gathered", "idlest", "understood"]


@attrs.frozen(eq=False, kw_only=True)
class SlotState:
    """The worker's share of a parked conversation."""

    frame: int
    slot: Mapping[str, NDArray[Any]]
    caller: tuple[bool, int, float]
    moshi: tuple[bool, int, float]
    said: Mapping[int, str]
    prompt_left: int


async def gathered(
    lane: StreamLane, at: SlotState, followers: Mapping[str, FollowerThread], *, late: int, fingerprint: str
) -> ParkedState:
    """Return all parts of a lane that stands still since `at` was taken from the worker.

    What is asked of the followers is behind all records up to that frame: the worker has put them, and steps the
    lane no more.
    """
    following = {label: each for label, each in followers.items() if each.has(lane.conversation)}
    exported = {label: await _exported(each, lane.conversation) for label, each in following.items()}
    format, rest = lane.framing()
    state = LaneState(
        queue=[each.pcm for each in lane.queue],
        rest=rest,
        format=format,
        caller=at.caller,
        moshi=at.moshi,
        said=at.said,
        missed={label: each.missed(lane.conversation) for label, each in followers.items()},
        prompt_left=at.prompt_left,
        gap=lane.gap,
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


async def _exported(follower: FollowerThread, conversation: str) -> bytes:
    try:
        return await follower.call(partial(follower.follower.export, conversation), "export")
    except CodaError:
        raise
    except Exception as error:
        raise PluginError(
            f'"{follower.label}" could not say what it holds of the conversation, which therefore cannot be parked: '
            f"{type(error).__name__}: {error}"
        ) from error
