"""What is told of a conversation: it survives storage, and says so little that it can be counted on."""

from __future__ import annotations

import pytest

import coda_core.state as module
from coda_core.events import Event, event_from_json, event_to_json
from coda_core.state import (
    ConversationMetrics,
    InterruptionSeen,
    Passage,
    PassageWord,
    PhaseChanged,
    Quality,
    QualityFactor,
    Snapshot,
    Spread,
    TurnEnded,
)

FACTOR = QualityFactor(name="latency", measured=0.8, unit="s", score=1.0, weight=0.25, points=25.0)


@pytest.mark.parametrize(
    "event",
    [
        PhaseChanged(conversation="a", sequence=1, frame=3, phase="waiting", before="listening"),
        TurnEnded(speaker="moshi", start_frame=1, speech_frames=2, response_frames=None),
        InterruptionSeen(yielded=True, yield_frames=3),
        Snapshot(),
        Snapshot(
            reason="end",
            phase="ended",
            metrics=ConversationMetrics(frames=7, response_frames=Spread(count=1, p50=3.0), mean_confidence=0.5),
            quality=Quality(score=81.5, level="excellent", factors=(FACTOR,)),
            recent=({"type": "gap", "frames": 3},),
            text="good morning",
        ),
    ],
)
def test_events_come_back_from_a_store_as_they_were(event: Event) -> None:
    assert event_from_json(event_to_json(event)) == event


def test_shares_of_nothing_are_nothing() -> None:
    nothing = ConversationMetrics()
    assert (nothing.caller_share, nothing.moshi_share, nothing.drop_rate) == (0.0, 0.0, 0.0)
    some = ConversationMetrics(frames=90, caller_frames=45, moshi_frames=9, dropped_frames=10)
    assert (some.caller_share, some.moshi_share, some.drop_rate) == (0.5, 0.1, 0.1)


def test_a_passage_reads_as_a_sentence() -> None:
    words = (PassageWord(0.0, 0.2, 0.5, "good"), PassageWord(0.3, 0.5, 0.9, "morning"))
    passage = Passage(conversation="a", speaker="moshi", extractor="", start_s=0.0, end_s=0.5, time_s=1.0, words=words)
    assert passage.text == "good morning"


def test_all_names_exactly_the_public_names() -> None:
    public = {name for name, item in vars(module).items() if getattr(item, "__module__", "") == module.__name__}
    assert {name for name in public if not name.startswith("_")} | {"Phase", "QualityLevel"} == set(module.__all__)
