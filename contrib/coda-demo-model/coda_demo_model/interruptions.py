"""Callers who interrupt: does the model stop at once, and answer what they said then?"""

from __future__ import annotations

from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from coda_demo_model.callers import Call, call_by_espeak, call_by_flite
from coda_demo_model.evaluation_sets import load_sets
from coda_demo_model.live import Checkpoint, Conversation, converse
from coda_demo_model.script import load_script
from coda_demo_model.voice import FRAME, SAMPLE_RATE_HZ, say

__all__ = ["judge_interruptions"]

_LEFT: Final = 15
"""Frames of the reply that are left at least when the caller interrupts."""
_IN_TIME: Final = round(0.5 * SAMPLE_RATE_HZ)
_SILENT_RMS: Final = 0.01
_EXPECTED_DELAY: Final = 5
"""Frames from the caller's last sound to the first output of a reply, counted when interruptions are placed."""


@attrs.frozen(eq=False)
class _Interruption:
    first: Call
    second: Call
    onset: int
    """The sample in which the second call begins."""


def judge_interruptions(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return how many replies stop within half a second of the interruption, and how many questions are answered."""
    plans = _plans()
    length = max(plan.onset + len(plan.second.audio) for plan in plans) + 6 * SAMPLE_RATE_HZ
    said = converse(checkpoint, np.stack([_heard(plan, length // FRAME * FRAME) for plan in plans]))
    judged = [_judge(plan, conversation) for plan, conversation in zip(plans, said, strict=True)]
    return {
        "interrupted: was speaking": f"{sum(speaking for speaking, _, _ in judged)} of {len(judged)}",
        "interrupted: stops within 500 ms": f"{sum(stopped for _, stopped, _ in judged)} of {len(judged)}",
        "interrupted: then answers rightly": f"{sum(right for _, _, right in judged)} of {len(judged)}",
    }


def _plans() -> list[_Interruption]:
    """Return interruptions of replies that are long enough, by every voice of the set in turn."""
    sets = load_sets()
    bits = np.random.default_rng(sets.seed + 5)
    intents = load_script().intents
    long = [intent for intent in intents if say(intent.reply).frames > _LEFT + 2]
    plans: list[_Interruption] = []
    for number in range(sets.interruptions):
        first = long[number % len(long)]
        second = intents[int(bits.integers(len(intents)))]
        calls = [
            call_by_flite(intent.name, str(bits.choice(intent.phrasings)), str(bits.choice(sets.callers.flite)), bits)
            if number % 2
            else call_by_espeak(
                intent.name, str(bits.choice(intent.phrasings)), str(bits.choice(sets.callers.espeak)), bits
            )
            for intent in (first, second)
        ]
        spoken = int(bits.integers(1, say(first.reply).frames - _LEFT))
        onset = SAMPLE_RATE_HZ // 2 + len(calls[0].audio) + (_EXPECTED_DELAY + spoken) * FRAME
        plans.append(_Interruption(calls[0], calls[1], onset))
    return plans


def _heard(plan: _Interruption, samples: int) -> npt.NDArray[np.float32]:
    audio = (1e-4 * np.random.default_rng(plan.onset).standard_normal(samples)).astype(np.float32)
    for call, begin in ((plan.first, SAMPLE_RATE_HZ // 2), (plan.second, plan.onset)):
        audio[begin : begin + len(call.audio)] += call.audio.astype(np.float32) / 32767
    return audio


def _judge(plan: _Interruption, said: Conversation) -> tuple[bool, bool, bool]:
    """Return whether the model was speaking when interrupted, stopped in time, and then answered rightly."""
    replies = load_script().replies
    loud = [
        bool(np.sqrt(np.mean(said.audio[at : at + FRAME // 4] ** 2)) > _SILENT_RMS)
        for at in range(0, len(said.audio), FRAME // 4)
    ]
    onset, deadline = (at // (FRAME // 4) for at in (plan.onset, plan.onset + _IN_TIME))
    speaking = any(loud[max(0, onset - 8) : onset + 4])
    end = (plan.onset + len(plan.second.audio)) // (FRAME // 4)
    # From the deadline until the caller has finished, nothing may be heard.
    stopped = speaking and not any(loud[deadline + 1 : max(deadline + 2, end)])
    before, after = (
        [word.text for word in said.words if (word.frame * 4 >= deadline) is late] for late in (False, True)
    )
    cut = len(before) < len(replies[plan.first.intent].split())
    return speaking, stopped and cut, speaking and cut and " ".join(after) == replies[plan.second.intent]
