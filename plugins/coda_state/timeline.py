"""Who speaks when: turns, exchanges, overlaps, interruptions and phases, one frame after another."""

from __future__ import annotations

import json
from typing import Any, Final, Self

import attrs

from coda_core.events import Event
from coda_core.state import InterruptionSeen, Phase, PhaseChanged, TurnEnded
from coda_state.tally import Tally

__all__ = ["Rules", "Timeline"]

_TEXT_HOLD_FRAMES: Final = 6
"""Frames after a text token in which Moshi counts as responding before any sound is heard."""
_NEVER: Final = -(10**9)
_EVER: Final = 10**9
RESPONSE_TALLY_FRAMES: Final = 250


@attrs.frozen(kw_only=True)
class Rules:
    """What counts as what, in frames."""

    turn_pause: int
    """Silence of one side after which its turn is over, if the other does not speak sooner."""
    waiting_after: int
    """Silence of both after which the phase is ``waiting``."""
    yield_within: int
    """How long Moshi may take to fall silent once it is interrupted."""


@attrs.define
class _Side:
    """One side of the conversation; frames are indexes on the step clock."""

    turn: int = -1
    """First frame of its open turn, -1 where there is none."""
    spoke: int = 0
    """Frames of speech in that turn."""
    end: int = _NEVER
    """Frame after its latest speech."""
    response: int = -1
    """Of Moshi's open turn: its response time, -1 where it answered nobody."""
    run: int = 0
    """Frames in a row that the speech detection gave, up to now, with its hangover."""


@attrs.define
class Timeline:
    """A conversation's speech, taken in as flags and given out as events.

    The flags that come in say *speech* for some frames after speech has ended: the detection's hangover. A frame is
    judged only when that many later ones are known, so every count and every frame index is of real speech.
    """

    hangover: int = 0
    seen: int = 0
    """Frames taken in."""
    frame: int = 0
    """Frames judged: at most the hangover behind `seen`."""
    phase: Phase = "initializing"
    caller: _Side = attrs.field(factory=_Side)
    moshi: _Side = attrs.field(factory=_Side)
    texts: list[int] = attrs.field(factory=list)
    """Frames not judged yet that brought a text token."""
    begun: int = -1
    """First frame with audio from Moshi, -1 before it."""
    last_text: int = _NEVER
    asked: bool = False
    """The caller has spoken since Moshi last began a turn."""
    both: bool = False
    either_end: int = 0
    """Frame after the latest speech of either."""
    cut: int = -1
    """Frame of an interruption whose outcome is open, -1 for none."""
    caller_frames: int = 0
    moshi_frames: int = 0
    overlap_frames: int = 0
    silence_frames: int = 0
    longest_silence_frames: int = 0
    silences: int = 0
    overlaps: int = 0
    caller_turns: int = 0
    moshi_turns: int = 0
    exchanges: int = 0
    unanswered: int = 0
    interruptions: int = 0
    yielded: int = 0
    responses: Tally = attrs.field(factory=lambda: Tally(0, RESPONSE_TALLY_FRAMES))

    def take(self, rules: Rules, caller: bool, moshi: bool, text: bool, audible: bool, events: list[Event]) -> None:
        """Take in one frame's flags; append what can be said now. `audible` says whether Moshi's audio is valid."""
        at = self.seen
        self.seen = at + 1
        self.caller.run = self.caller.run + 1 if caller else 0
        self.moshi.run = self.moshi.run + 1 if moshi else 0
        if text:
            self.texts.append(at)
        if audible and self.begun < 0:
            self.begun = at
        if self.frame + self.hangover <= at:
            self._judge(rules, self._speaking(self.caller), self._speaking(self.moshi), events)

    @property
    def speech(self) -> bool:
        """Whether anybody speaks in the frame that is judged next, if its flags are those of the latest."""
        return self._speaking(self.caller) or self._speaking(self.moshi)

    def still(self, rules: Rules) -> int:
        """Return how many frames with the flags of the latest, and no text, would change nothing but counts.

        Where somebody speaks, text does not matter either.
        """
        at = self.frame
        caller, moshi = self._speaking(self.caller), self._speaking(self.moshi)
        if at + self.hangover != self.seen:
            return 0
        # Each is the frame with whose judgement something may come about, in the order of `_judge`.
        moments = [at + self.hangover - side.run for side in (self.caller, self.moshi) if 0 < side.run <= self.hangover]
        if not (caller or moshi):
            moments += [side.end + rules.turn_pause - 1 for side in (self.caller, self.moshi) if side.turn >= 0]
            moments += [self.either_end + rules.waiting_after - 1, self.last_text + _TEXT_HOLD_FRAMES, *self.texts[:1]]
        if self.cut >= 0:
            moments.append(self.cut + rules.yield_within)
        moments.append(self.begun)
        return min((moment for moment in moments if moment >= at), default=_EVER) - at

    def skip(self, frames: int) -> None:
        """Take in frames that are as `still` has it: the same as `take` for each of them, in one go."""
        caller, moshi = self._speaking(self.caller), self._speaking(self.moshi)
        self.seen += frames
        self.frame += frames
        for side, speaks in ((self.caller, caller), (self.moshi, moshi)):
            side.run += frames if side.run else 0
            if speaks:
                side.spoke += frames
                side.end = self.frame
        self.caller_frames += frames * caller
        self.moshi_frames += frames * moshi
        self.overlap_frames += frames * (caller and moshi)
        if caller or moshi:
            self.either_end = self.frame
        else:
            self.silence_frames += frames
            self.longest_silence_frames = max(self.longest_silence_frames, self.frame - self.either_end)
        while self.texts and self.texts[0] < self.frame:
            self.last_text = self.texts.pop(0)

    def finish(self, rules: Rules, events: list[Event]) -> None:
        """Judge the frames that are still held back, and end what is open."""
        while self.frame < self.seen:
            left = self.seen - self.frame
            self._judge(rules, self.caller.run >= left, self.moshi.run >= left, events)
        if self.cut >= 0:
            self._interrupted(None, events)
        for side in (self.caller, self.moshi):
            if side.turn >= 0:
                self._end_turn(side, events)

    def enter(self, phase: Phase, events: list[Event]) -> None:
        """Go into another phase."""
        if phase != self.phase:
            events.append(PhaseChanged(frame=self.frame, phase=phase, before=self.phase))
            self.phase = phase

    def to_json(self) -> str:
        """Return everything, for `from_json` to go on from."""
        return json.dumps(attrs.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return what `to_json` was called on."""
        fields: dict[str, Any] = json.loads(text)
        fields["responses"] = Tally.from_fields(fields["responses"])
        return cls(**fields | {name: _Side(**fields[name]) for name in ("caller", "moshi")})

    def _speaking(self, side: _Side) -> bool:
        """Return whether a side speaks in the frame that is judged now."""
        return side.run > self.hangover

    def _judge(self, rules: Rules, caller: bool, moshi: bool, events: list[Event]) -> None:
        at = self.frame
        moshi_spoke_before = self.moshi.end == at
        # First ends, then beginnings: whoever is silent while the other speaks has given up the turn.
        self._close(self.caller, caller, moshi, rules, events)
        self._close(self.moshi, moshi, caller, rules, events)
        if caller and self.caller.turn < 0:
            self.caller.turn = at
            self.caller_turns += 1
            if moshi and moshi_spoke_before and self.cut < 0:
                self.cut = at
                self.interruptions += 1
        if moshi and self.moshi.turn < 0:
            self._begin_moshi(caller)
        if caller:
            self._speak(self.caller)
            self.caller_frames += 1
            self.asked = True
        if moshi:
            self._speak(self.moshi)
            self.moshi_frames += 1
        self._count_both(caller, moshi, rules)
        if self.cut >= 0:
            if not moshi:
                self._interrupted(at - self.cut, events)
            elif at - self.cut >= rules.yield_within:
                self._interrupted(None, events)
        if self.texts and self.texts[0] == at:
            self.last_text = self.texts.pop(0)
        self._choose_phase(caller, moshi, rules, events)
        self.frame = at + 1

    def _close(self, side: _Side, speaks: bool, other_speaks: bool, rules: Rules, events: list[Event]) -> None:
        if side.turn >= 0 and not speaks and (other_speaks or self.frame + 1 - side.end >= rules.turn_pause):
            self._end_turn(side, events)

    def _end_turn(self, side: _Side, events: list[Event]) -> None:
        moshi = side is self.moshi
        events.append(
            TurnEnded(
                frame=side.end,
                speaker="moshi" if moshi else "caller",
                start_frame=side.turn,
                speech_frames=side.spoke,
                response_frames=side.response if side.response >= 0 else None,
            )
        )
        side.turn, side.spoke, side.response = -1, 0, -1

    def _begin_moshi(self, caller: bool) -> None:
        self.moshi.turn = self.frame
        self.moshi_turns += 1
        if self._unanswered() or (caller and self.asked):
            self.exchanges += 1
            if not caller:
                self.moshi.response = self.frame - self.caller.end
                self.responses.add(self.moshi.response)
        self.asked = False

    def _unanswered(self) -> bool:
        """Whether the caller was the last to speak; a word thrown in while Moshi talks on asks for no answer."""
        return self.asked and self.caller.end >= self.moshi.end

    def _speak(self, side: _Side) -> None:
        side.spoke += 1
        side.end = self.frame + 1

    def _count_both(self, caller: bool, moshi: bool, rules: Rules) -> None:
        both = caller and moshi
        self.overlap_frames += both
        self.overlaps += both and not self.both
        self.both = both
        if caller or moshi:
            self.either_end = self.frame + 1
            return
        silence = self.frame + 1 - self.either_end
        self.silence_frames += 1
        self.longest_silence_frames = max(self.longest_silence_frames, silence)
        if silence == rules.waiting_after:
            self.silences += 1
            self.unanswered += self._unanswered()

    def _interrupted(self, yield_frames: int | None, events: list[Event]) -> None:
        yielded = yield_frames is not None
        self.yielded += yielded
        events.append(InterruptionSeen(frame=self.cut, yielded=yielded, yield_frames=yield_frames))
        self.cut = -1

    def _choose_phase(self, caller: bool, moshi: bool, rules: Rules, events: list[Event]) -> None:
        at = self.frame
        phase: Phase
        if not 0 <= self.begun <= at:
            phase = "initializing"
        elif moshi or (not caller and at - self.last_text < _TEXT_HOLD_FRAMES):
            phase = "responding"
        elif caller:
            phase = "listening"
        elif at + 1 - self.either_end >= rules.waiting_after:
            phase = "waiting"
        else:
            phase = "processing" if self._unanswered() else "listening"
        self.enter(phase, events)
