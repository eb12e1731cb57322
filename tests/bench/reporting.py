"""What the benchmarks of this folder share: their one JSON object, their table, and interleaved rounds."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence

import attrs

__all__ = ["Result", "arguments", "interleave", "report"]


@attrs.frozen(kw_only=True)
class Result:
    """One figure. `ratio` is `value` over `baseline`, where there is a baseline."""

    case: str
    metric: str
    unit: str
    value: float
    baseline: float | None = None

    @property
    def ratio(self) -> float | None:
        return self.value / self.baseline if self.baseline else None


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that knows ``--json``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    return parser


def interleave(rounds: int, *measured: Callable[[], None]) -> None:
    """Run each callable once a round, in turn, so that a machine whose speed drifts is slow for all of them."""
    for _ in range(rounds):
        for each in measured:
            each()


def report(benchmark: str, results: Sequence[Result], *, as_json: bool) -> None:
    """Print the results, as JSON or as a table."""
    if as_json:
        rows = [{**attrs.asdict(result), "ratio": result.ratio} for result in results]
        print(json.dumps({"benchmark": benchmark, "results": rows}, indent=1))
        return
    print(f"{benchmark}\n{'case':<24} {'metric':<28} {'value':>12} {'baseline':>12} {'ratio':>7}  unit")
    for result in results:
        baseline = "" if result.baseline is None else f"{result.baseline:.3f}"
        ratio = "" if result.ratio is None else f"{result.ratio:.3f}"
        print(f"{result.case:<24} {result.metric:<28} {result.value:>12.3f} {baseline:>12} {ratio:>7}  {result.unit}")
