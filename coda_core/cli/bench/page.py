"""The step times as a page that needs nothing else: one file, an inline SVG, light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final

import attrs

from coda_core.cli.bench.findings import Batch, Findings, Paced
from coda_core.cli.bench.summary import answer

__all__ = ["page"]

_WIDTH: Final = 720
_HEIGHT: Final = 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 72, 32, 48
"""Margins: names of lines stand on the right."""

_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>coda bench</title>
<style>
:root {{ color-scheme: light dark; --ground: #fff; --ink: #1d2530; --faint: #d8dde4; --dim: #5d6877;
  --median: #1f6fb2; --p95: #c2571a; --holds: #2d7d46; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ground: #14181e; --ink: #e4e8ee; --faint: #333b46; --dim: #98a3b1;
  --median: #6bb1ee; --p95: #f2a26b; --holds: #72c98d; }} }}
body {{ background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; max-width: 46rem;
  margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.15rem; }}
p {{ color: var(--dim); }}
svg {{ width: 100%; height: auto; font-size: 13px; fill: var(--ink); }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: right; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid var(--faint); }}
.grid {{ stroke: var(--faint); }}
.dim {{ fill: var(--dim); }}
.median {{ stroke: var(--median); }} .p95 {{ stroke: var(--p95); stroke-dasharray: 6 4; }}
.median-dot, .median-name {{ fill: var(--median); }} .p95-dot, .p95-name {{ fill: var(--p95); }}
.budget {{ stroke: var(--dim); stroke-dasharray: 2 4; }}
.holds {{ stroke: var(--holds); }} .holds-name {{ fill: var(--holds); }}
polyline {{ fill: none; stroke-width: 2; }}
</style>
<h1>{answer}</h1>
<svg viewBox="0 0 {width} {height}" role="img" aria-label="Step time of a full batch by number of conversations">
{drawing}
</svg>
<p>How long a step of the model takes with all conversations of a batch taking part. It must end within
{budget:.1f} ms: the {frame:.1f} ms of a frame less a head-room of {headroom:.0%}. {confirmed}</p>
<table>
<tr><th>conversations</th><th>median, ms</th><th>p95, ms</th><th>× real time</th><th>fits</th></tr>
{rows}
</table>
</html>
"""


def page(findings: Findings) -> str:
    """Return the page as HTML."""
    batches = sorted((batch for batch in findings.batches if batch.step_s), key=lambda batch: batch.conversations)
    first = batches[0]
    return _PAGE.format(
        answer=escape(answer(findings)),
        width=_WIDTH,
        height=_HEIGHT,
        drawing="\n".join(_drawing(batches, findings.conversations)),
        budget=1000 * first.budget_s,
        frame=1000 * first.frame_s,
        headroom=findings.headroom,
        confirmed=_confirmed(findings.confirmed),
        rows="\n".join(_row(batch) for batch in batches),
    )


def _confirmed(run: Paced | None) -> str:
    if run is None:
        return ""
    late_ms = 1000 * run.measures.stages_s["lateness"].p99
    return (
        f"Then {run.conversations} talked in real time for {run.seconds:g} s: no frame was dropped, and the p99 of the "
        f"lateness was {late_ms:.1f} ms, where less than 0 is on time."
    )


@attrs.frozen
class _Scales:
    """Where a number of conversations and a step time in ms lie in the drawing."""

    most: float
    longest_ms: float

    def x(self, conversations: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * conversations / self.most

    def y(self, ms: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * ms / self.longest_ms


def _drawing(batches: Sequence[Batch], holds: int) -> list[str]:
    budget_ms = 1000 * batches[0].budget_s
    median = [(batch.conversations, 1000 * batch.p50_s) for batch in batches]
    p95 = [(batch.conversations, 1000 * batch.p95_s) for batch in batches]
    scales = _Scales(batches[-1].conversations, 1.08 * max(budget_ms, *(ms for _, ms in p95)))
    left, right, bottom = _LEFT, _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = []
    for ms in _ticks(scales.longest_ms):
        y = scales.y(ms)
        parts.append(_line("grid", left, y, right, y))
        parts.append(_text("dim", left - 8, y + 4, f"{ms:g}", anchor="end"))
    parts += [
        _text("dim", scales.x(conversations), bottom + 20, f"{conversations:g}", anchor="middle")
        for conversations in _ticks(scales.most, whole=True)
    ]
    parts.append(_text("dim", (left + right) / 2, _HEIGHT - 6, "conversations", anchor="middle"))
    parts.append(_text("dim", left - 8, _TOP - 14, "ms", anchor="end"))
    y = scales.y(budget_ms)
    parts += [_line("budget", left, y, right, y), _text("dim", left + 8, y - 6, f"limit {budget_ms:.0f} ms")]
    if holds:
        x = scales.x(holds)
        parts.append(_line("holds", x, _TOP, x, bottom))
        on_the_left = x < (left + right) / 2
        x, anchor = (x + 6, "start") if on_the_left else (x - 6, "end")
        parts.append(_text("holds-name", x, bottom - 8, f"holds {holds}", anchor=anchor))
    parts += [*_curve("p95", p95, scales), *_curve("median", median, scales)]
    # Where the ends of the two lines are near to each other, their names keep their distance.
    end_p95, end_median = scales.y(p95[-1][1]), scales.y(median[-1][1])
    end_median = max(end_median, end_p95 + 15)
    parts += [
        _text("p95-name", right + 8, end_p95 + 4, "p95"),
        _text("median-name", right + 8, end_median + 4, "median"),
    ]
    return parts


def _curve(name: str, points: Sequence[tuple[int, float]], scales: _Scales) -> list[str]:
    path = " ".join(f"{scales.x(count):.1f},{scales.y(ms):.1f}" for count, ms in points)
    return [
        f'<polyline class="{name}" points="{path}"/>',
        *(
            f'<circle class="{name}-dot" cx="{scales.x(count):.1f}" cy="{scales.y(ms):.1f}" r="3.5">'
            f"<title>{count} conversations: {name} {ms:.1f} ms</title></circle>"
            for count, ms in points
        ),
    ]


def _line(name: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{name}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(name: str, x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text class="{name}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _ticks(largest: float, *, whole: bool = False) -> list[float]:
    """Return four to eight round numbers from 0 up to `largest`."""
    unit: float = 10 ** math.floor(math.log10(largest / 4))
    step = next(factor * unit for factor in (1, 2, 5, 10) if largest / (factor * unit) <= 8)
    if whole:
        step = max(1.0, step)
    return [index * step for index in range(int(largest / step) + 1)]


def _row(batch: Batch) -> str:
    cells = (
        str(batch.conversations),
        f"{1000 * batch.p50_s:.1f}",
        f"{1000 * batch.p95_s:.1f}",
        f"{batch.realtime_factor:.1f}",
        "yes" if batch.fits else "no",
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
