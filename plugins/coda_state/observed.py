"""All that is counted of one live conversation."""

from __future__ import annotations

import json
from typing import Any, Final, Self

import attrs

from coda_core.events import Event
from coda_core.interfaces import ProcessorInfo
from coda_core.state import ConversationMetrics
from coda_state.tally import Tally
from coda_state.timeline import Rules, Timeline

__all__ = ["Observed"]

_LATENESS_STEP_S: Final = 0.002
_LATENESS_LOWEST: Final = -50
_LATENESS_HIGHEST: Final = 1500


@attrs.define
class _Sums:
    text_tokens: int = 0
    probability: float = 0.0
    forced_tokens: int = 0
    unseen_frames: int = 0
    late_frames: int = 0
    dropped_frames: int = 0


class Observed:
    """The time line of one conversation, and what is summed up beside it.

    In most frames nobody begins to speak or falls silent, and no pause becomes long enough to mean something. The time
    line is not told of these one by one: it catches up when anything else may have happened, or when somebody looks.
    """

    def __init__(self, info: ProcessorInfo, rules: Rules) -> None:
        self.timeline = Timeline()
        self._info = info
        self._frame_s = info.frame_s
        self._rules = rules
        self._sums = _Sums()
        self._lateness = Tally(_LATENESS_LOWEST, _LATENESS_HIGHEST)
        self.seen = 0
        """Frames taken in, of which the time line may lack the latest."""
        self._flags = (False, False, False)
        """Of the latest frame: whether the caller spoke, whether Moshi did, and whether there was audio from Moshi."""
        self._next_look = 0
        """Index of the frame of which the time line is told in any case."""
        self._heeds_text = True
        """Whether text is to be told in any case."""

    def take(
        self,
        caller: bool,
        moshi: bool,
        audible: bool,
        text: bool,
        forced: bool,
        probability: float,
        lateness_s: float,
    ) -> bool:
        """Take in one step; return whether `tell` must be called for it."""
        sums = self._sums
        self._lateness.add(round(lateness_s / _LATENESS_STEP_S))
        if lateness_s > self._frame_s:
            sums.late_frames += 1
        if text and forced:
            sums.forced_tokens += 1
        elif text:
            sums.text_tokens += 1
            sums.probability += probability
        seen, before = self.seen, self._flags
        self.seen, self._flags = seen + 1, (caller, moshi, audible)
        if self._flags != before or seen >= self._next_look or (text and self._heeds_text):
            return True
        if text:
            self.timeline.texts.append(seen)
        return False

    def tell(self, *, text: bool, hangover_frames: int, missed_before: int, events: list[Event]) -> None:
        """Tell the time line of the step that was taken in last; append what was found."""
        timeline, rules = self.timeline, self._rules
        self._catch_up(self.seen - 1)
        timeline.hangover = hangover_frames
        for _ in range(missed_before):
            timeline.take(rules, timeline.caller.run > 0, timeline.moshi.run > 0, False, False, events)
        self._sums.unseen_frames += missed_before
        self.seen += missed_before
        caller, moshi, audible = self._flags
        timeline.take(rules, caller, moshi, text, audible, events)

    def rest(self, until: int) -> None:
        """Tell the time line again when anything may happen in it, and of the frame that makes `until` of them."""
        self._next_look = min(self.seen + self.timeline.still(self._rules), until - 1)
        self._heeds_text = not self.timeline.speech

    def catch_up(self) -> None:
        """Tell the time line of all frames that were taken in."""
        self._catch_up(self.seen)

    def lost(self, frames: int) -> None:
        """Count frames of the caller's audio that never reached the model."""
        self._sums.dropped_frames += frames

    def finish(self, events: list[Event]) -> None:
        """Take in that no step follows; append what was held back."""
        self.catch_up()
        self.timeline.finish(self._rules, events)
        self.timeline.enter("ending", events)
        self.timeline.enter("ended", events)

    def metrics(self) -> ConversationMetrics:
        self.catch_up()
        line, sums = self.timeline, self._sums
        return ConversationMetrics(
            frame_s=self._info.frame_s,
            frames=line.frame,
            unseen_frames=sums.unseen_frames,
            caller_frames=line.caller_frames,
            moshi_frames=line.moshi_frames,
            overlap_frames=line.overlap_frames,
            silence_frames=line.silence_frames,
            longest_silence_frames=line.longest_silence_frames,
            silences=line.silences,
            overlaps=line.overlaps,
            caller_turns=line.caller_turns,
            moshi_turns=line.moshi_turns,
            exchanges=line.exchanges,
            unanswered=line.unanswered,
            interruptions=line.interruptions,
            yielded=line.yielded,
            response_frames=line.responses.spread(),
            text_tokens=sums.text_tokens,
            mean_confidence=sums.probability / sums.text_tokens if sums.text_tokens else None,
            forced_tokens=sums.forced_tokens,
            dropped_frames=sums.dropped_frames,
            late_frames=sums.late_frames,
            lateness_s=self._lateness.spread(_LATENESS_STEP_S),
        )

    def to_bytes(self) -> bytes:
        """Return everything, for `from_bytes` to go on from."""
        self.catch_up()
        fields = {
            "timeline": self.timeline.to_json(),
            "sums": attrs.asdict(self._sums),
            "lateness": attrs.asdict(self._lateness),
        }
        return json.dumps(fields).encode()

    @classmethod
    def from_bytes(cls, data: bytes, info: ProcessorInfo, rules: Rules) -> Self:
        """Return what `to_bytes` was called on."""
        fields: dict[str, Any] = json.loads(data)
        observed = cls(info, rules)
        observed.timeline = Timeline.from_json(fields["timeline"])
        observed.seen = observed.timeline.seen
        observed._sums = _Sums(**fields["sums"])
        observed._lateness = Tally.from_fields(fields["lateness"])
        return observed

    def _catch_up(self, seen: int) -> None:
        behind = seen - self.timeline.seen
        if behind:
            self.timeline.skip(behind)
