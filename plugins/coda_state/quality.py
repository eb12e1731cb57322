"""The quality score: how good a conversation was, and what that is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from coda_core.state import ConversationMetrics, Quality, QualityFactor, QualityLevel

__all__ = ["Weights", "judge"]

_LEVELS: Final[tuple[tuple[float, QualityLevel], ...]] = ((80.0, "excellent"), (60.0, "good"), (40.0, "fair"))
_FEWEST_EXCHANGES: Final = 2
_SHORTEST_S: Final = 10.0
_FEWEST_TOKENS: Final = 20
_FEWEST_RESPONSES: Final = 3


@attrs.frozen(kw_only=True)
class Weights:
    """How much each factor counts, relative to the others."""

    confidence: float
    latency: float
    consistency: float
    exchanges: float
    interruptions: float


@attrs.frozen
class _Found:
    """A factor before it is weighed; `worst` gives 0 and `best` gives 1, in a straight line between."""

    name: str
    unit: str
    measured: float | None
    worst: float
    best: float

    @property
    def score(self) -> float | None:
        if self.measured is None:
            return None
        return min(max((self.measured - self.worst) / (self.best - self.worst), 0.0), 1.0)


def judge(metrics: ConversationMetrics, weights: Weights) -> Quality:
    """Return the quality of a conversation that went like this.

    The score is the weighted mean of the factors that could be measured, times 100. A factor that could not be is
    left out and its weight falls to the others. There is no score for a conversation of less than ten seconds or
    two exchanges, nor where less than half of the weight could be measured.
    """
    found = list(_factors(metrics))
    shares: dict[str, float] = attrs.asdict(weights)
    known = sum(shares[each.name] for each in found if each.measured is not None)
    reason = _too_little(metrics, known, sum(shares.values()))
    factors = tuple(_weighed(each, shares[each.name] / known if known else 0.0) for each in found)
    if reason:
        return Quality(factors=factors, reason=reason)
    score = sum(factor.points for factor in factors)
    # What is shown, with one digit, and the level must not contradict each other.
    return Quality(score=score, level=_level(round(score, 1)), factors=factors)


def _level(score: float) -> QualityLevel:
    for least, level in _LEVELS:
        if score >= least:
            return level
    return "poor"


def _factors(metrics: ConversationMetrics) -> Iterator[_Found]:
    """Yield the factors; docs/state.md has the same numbers, with their reasons."""
    responses, frame_s = metrics.response_frames, metrics.frame_s
    asked = metrics.exchanges + metrics.unanswered
    held = metrics.interruptions - metrics.yielded
    confident = metrics.mean_confidence if metrics.text_tokens >= _FEWEST_TOKENS else None
    steady = responses.deviation * frame_s if responses.count >= _FEWEST_RESPONSES else None
    yield _Found("confidence", "probability", confident, 0.1, 0.6)
    yield _Found("latency", "s", responses.p50 * frame_s if responses.count else None, 3.0, 0.8)
    yield _Found("consistency", "s", steady, 2.0, 0.4)
    yield _Found("exchanges", "share answered", metrics.exchanges / asked if asked else None, 0.3, 0.9)
    yield _Found("interruptions", "per exchange", held / metrics.exchanges if metrics.exchanges else None, 0.5, 0.0)


def _too_little(metrics: ConversationMetrics, known: float, whole: float) -> str:
    if metrics.frames * metrics.frame_s < _SHORTEST_S:
        return f"it lasted less than {_SHORTEST_S:g} seconds"
    if metrics.exchanges < _FEWEST_EXCHANGES:
        return f"there were fewer than {_FEWEST_EXCHANGES} exchanges"
    if known <= 0 or known < whole / 2:
        return "less than half of the weight could be measured"
    return ""


def _weighed(found: _Found, weight: float) -> QualityFactor:
    score = found.score
    return QualityFactor(
        name=found.name,
        measured=found.measured,
        unit=found.unit,
        score=score,
        weight=weight if score is not None else 0.0,
        points=100 * score * weight if score is not None else 0.0,
    )
