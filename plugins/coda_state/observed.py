"""All that is counted of one live conversation."""

from __future__ import annotations

import json
from typing import Any, Final, Self

import attrs

from coda_core.events import Event
from coda_core.interfaces import ProcessorInfo, StepRecord
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
    """The time line of one conversation, and what is summed up beside it."""

    def __init__(self, info: ProcessorInfo, rules: Rules) -> None:
        self.timeline = Timeline()
        self._info = info
        self._rules = rules
        self._sums = _Sums()
        self._lateness = Tally(_LATENESS_LOWEST, _LATENESS_HIGHEST)

    def take(self, record: StepRecord, events: list[Event]) -> None:
        """Take in one step; append what was found."""
        timeline, sums, rules = self.timeline, self._sums, self._rules
        timeline.hangover = record.hangover_frames
        caller, moshi = record.caller_speaking, record.moshi_speaking and record.spoken is not None
        for _ in range(record.missed_before):
            sums.unseen_frames += 1
            timeline.take(rules, timeline.caller.run > 0, timeline.moshi.run > 0, False, False, events)
        text = self._info.vocabulary.is_text(record.token)
        if text and record.injected:
            sums.forced_tokens += 1
        elif text:
            sums.text_tokens += 1
            sums.probability += record.probability
        self._lateness.add(round(record.lateness_s / _LATENESS_STEP_S))
        sums.late_frames += record.lateness_s > self._info.frame_s
        timeline.take(rules, caller, moshi, text, record.spoken is not None, events)

    def lost(self, frames: int) -> None:
        """Count frames of the caller's audio that never reached the model."""
        self._sums.dropped_frames += frames

    def finish(self, events: list[Event]) -> None:
        """Take in that no step follows; append what was held back."""
        self.timeline.finish(self._rules, events)
        self.timeline.enter("ending", events)
        self.timeline.enter("ended", events)

    def metrics(self) -> ConversationMetrics:
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
        observed._sums = _Sums(**fields["sums"])
        observed._lateness = Tally.from_fields(fields["lateness"])
        return observed
