"""The quality score: its factors, its levels, and when it is not given."""

from __future__ import annotations

import attrs
import pytest

from coda_core.state import ConversationMetrics, Spread
from coda_state.quality import Weights, judge

EQUAL = Weights(confidence=1, latency=1, consistency=1, exchanges=1, interruptions=1)
GOOD = ConversationMetrics(
    frames=1000,
    caller_turns=10,
    moshi_turns=10,
    exchanges=10,
    interruptions=2,
    yielded=2,
    response_frames=Spread(count=10, mean=8, deviation=2, p50=8, p95=10, maximum=10),
    text_tokens=200,
    mean_confidence=0.7,
)


def test_a_conversation_with_nothing_wrong_is_perfect() -> None:
    quality = judge(GOOD, EQUAL)
    assert quality.score == pytest.approx(100)
    assert (quality.level, quality.reason) == ("excellent", "")
    assert [factor.name for factor in quality.factors] == [
        *("confidence", "latency", "consistency", "exchanges", "interruptions")
    ]


def test_the_points_of_the_factors_are_the_score() -> None:
    metrics = attrs.evolve(GOOD, mean_confidence=0.35, unanswered=5, yielded=0)
    quality = judge(metrics, Weights(confidence=25, latency=25, consistency=15, exchanges=20, interruptions=15))
    assert quality.score == pytest.approx(sum(factor.points for factor in quality.factors))
    assert sum(factor.weight for factor in quality.factors) == pytest.approx(1)
    found = {factor.name: factor for factor in quality.factors}
    assert found["confidence"].points == pytest.approx(100 * 0.25 * 0.5)
    assert found["exchanges"].measured == pytest.approx(10 / 15)
    assert found["interruptions"].score == pytest.approx(1 - 0.2 / 0.5)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (GOOD, attrs.evolve(GOOD, mean_confidence=0.4)),
        (GOOD, attrs.evolve(GOOD, response_frames=attrs.evolve(GOOD.response_frames, p50=20.0))),
        (GOOD, attrs.evolve(GOOD, response_frames=attrs.evolve(GOOD.response_frames, deviation=10.0))),
        (GOOD, attrs.evolve(GOOD, unanswered=3)),
        (GOOD, attrs.evolve(GOOD, yielded=0)),
    ],
)
def test_each_factor_counts(better: ConversationMetrics, worse: ConversationMetrics) -> None:
    good, bad = judge(better, EQUAL).score, judge(worse, EQUAL).score
    assert good is not None
    assert bad is not None
    assert bad < good


@pytest.mark.parametrize(
    ("confidence", "level"), [(0.6, "excellent"), (0.45, "good"), (0.3, "fair"), (0.25, "poor"), (0.0, "poor")]
)
def test_levels(confidence: float, level: str) -> None:
    only = Weights(confidence=1, latency=0, consistency=0, exchanges=0, interruptions=0)
    assert judge(attrs.evolve(GOOD, mean_confidence=confidence), only).level == level


def test_what_could_not_be_measured_leaves_its_weight_to_the_others() -> None:
    quality = judge(attrs.evolve(GOOD, text_tokens=3, mean_confidence=0.0), EQUAL)
    assert quality.score == pytest.approx(100)
    assert [(factor.score, factor.weight, factor.points) for factor in quality.factors][:2] == [
        (None, 0.0, 0.0),
        (1.0, 0.25, 25.0),
    ]


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        (ConversationMetrics(), "it lasted less than 10 seconds"),
        (attrs.evolve(GOOD, frames=124), "it lasted less than 10 seconds"),
        (attrs.evolve(GOOD, exchanges=1), "there were fewer than 2 exchanges"),
        (
            attrs.evolve(GOOD, text_tokens=0, mean_confidence=None, response_frames=Spread()),
            "less than half of the weight could be measured",
        ),
    ],
)
def test_too_little_to_judge(metrics: ConversationMetrics, reason: str) -> None:
    quality = judge(metrics, EQUAL)
    assert (quality.score, quality.level, quality.reason) == (None, "unknown", reason)


def test_weights_of_nothing_give_no_score() -> None:
    nothing = Weights(confidence=0, latency=0, consistency=0, exchanges=0, interruptions=0)
    assert judge(GOOD, nothing).level == "unknown"
