"""The step times as a PNG, drawn by matplotlib."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

from coda_core.cli.bench.findings import Findings
from coda_core.cli.bench.summary import answer

__all__ = ["picture"]


def picture(findings: Findings) -> bytes:
    """Return a PNG of 1,440 by 800 pixels. Needs no display."""
    batches = sorted((batch for batch in findings.batches if batch.step_s), key=lambda batch: batch.conversations)
    sizes = [batch.conversations for batch in batches]
    figure = Figure(figsize=(9, 5), dpi=160, layout="constrained")
    axes = figure.add_subplot()
    for values, label, style in (
        ([1000 * batch.p95_s for batch in batches], "p95", "C1o--"),
        ([1000 * batch.p50_s for batch in batches], "median", "C0o-"),
    ):
        axes.plot(sizes, values, style, label=label, markersize=4)
    budget_ms = 1000 * batches[0].budget_s
    axes.axhline(budget_ms, color="0.4", linewidth=1, linestyle=":", label=f"limit {budget_ms:.0f} ms")
    if findings.conversations:
        axes.axvline(findings.conversations, color="tab:green", linewidth=1, label=f"holds {findings.conversations}")
    axes.set(xlabel="conversations", ylabel="step of a full batch, ms", xlim=(0, None), ylim=(0, None))
    axes.set_title(answer(findings), loc="left", wrap=True, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    return drawn.getvalue()
