"""What a benchmark says at its end."""

from __future__ import annotations

from typing import Any

from coda_core.cli.bench.findings import Batch, Findings, Paced
from coda_core.cli.terminal import Terminal
from coda_core.interfaces import Distribution

__all__ = ["answer", "as_json_object", "show"]


def answer(findings: Findings) -> str:
    """Return the answer as one sentence."""
    name = f'the checkpoint "{findings.subject}"' if findings.subject != findings.processor else findings.subject
    confirmed = findings.confirmed
    if findings.outcome != "finished":
        return "Stopped before there was an answer."
    if confirmed is not None:
        count = confirmed.conversations
        held = f"{count} conversation{'' if count == 1 else 's'} at once with {name}"
        if count < findings.fitting or findings.limit == "time":
            return f"This machine holds {held}."
        if findings.limit == "memory":
            return f"This machine holds {held}; there is no memory for more."
        return f"This machine holds {held}, and perhaps more: no larger number was tried."
    first = findings.batches[0]
    if not findings.fitting:
        return (
            f"This machine does not hold a conversation in real time with {name}: "
            f"a step takes {_ms(first.p95_s)}, and there are {_ms(first.budget_s)} for it."
        )
    fewest = findings.paced[-1].conversations
    if fewest == 1:
        return f"This machine does not hold a conversation in real time with {name}: in the run it came too late."
    return f"This machine does not hold {fewest} conversations at once with {name}; fewer were not tried."


def show(terminal: Terminal, findings: Findings) -> None:
    """Print what was found for a person."""
    batches = sorted(findings.batches, key=lambda batch: batch.conversations)
    first = batches[0]
    rows = [
        (
            str(batch.conversations),
            *((_ms(batch.p50_s), _ms(batch.p95_s), f"{batch.realtime_factor:.1f}") if batch.step_s else ("", "", "")),
            "yes" if batch.fits else "no memory" if batch.problem else "no",
        )
        for batch in batches
    ]
    terminal.table(("conversations", "step median", "step p95", "x real time", "fits"), rows)
    terminal.line()
    terminal.line(
        f"A step fits where its p95 is at most {_ms(first.budget_s)}: a frame's {_ms(first.frame_s)} less a head-room "
        f"of {findings.headroom:.0%}."
    )
    if findings.paced:
        terminal.line()
        paced = [
            (
                str(run.conversations),
                f"{run.seconds:g} s",
                str(run.measures.frames),
                str(run.measures.dropped_frames),
                *(_ms(value) for value in _percentiles(run.measures.stages_s["lateness"])),
                "yes" if run.held else "no",
            )
            for run in findings.paced
        ]
        columns = ("talking", "for", "frames", "dropped", "late: median", "p95", "p99", "held")
        terminal.table(columns, paced)
        terminal.line()
        terminal.line("Late by less than 0 ms is on time. Held means: none dropped, and p99 below one frame.")
    terminal.line()
    terminal.line(answer(findings), "bold")
    if findings.outcome == "finished":
        terminal.line("Whatever else ran on it meanwhile is in these figures.")


def as_json_object(findings: Findings) -> dict[str, Any]:
    """Return what was found for a program. Times are in milliseconds where their name says so."""
    first = findings.batches[0]
    return {
        "outcome": findings.outcome,
        "conversations": findings.conversations,
        "answer": answer(findings),
        "checkpoint": findings.subject,
        "processor": findings.processor,
        "stack": findings.stack,
        "fingerprint": findings.fingerprint,
        "frame_ms": _rounded(first.frame_s),
        "budget_ms": _rounded(first.budget_s),
        "headroom": findings.headroom,
        "limit": findings.limit,
        "batches": [_batch(batch) for batch in sorted(findings.batches, key=lambda batch: batch.conversations)],
        "paced": [_paced(run) for run in findings.paced],
    }


def _batch(batch: Batch) -> dict[str, Any]:
    timed = bool(batch.step_s)
    return {
        "conversations": batch.conversations,
        "steps": len(batch.step_s),
        "step_ms": {"p50": _rounded(batch.p50_s), "p95": _rounded(batch.p95_s)} if timed else None,
        "realtime_factor": round(batch.realtime_factor, 3) if timed else None,
        "fits": batch.fits,
        "problem": batch.problem,
    }


def _paced(run: Paced) -> dict[str, Any]:
    stages = run.measures.stages_s
    return {
        "conversations": run.conversations,
        "seconds": run.seconds,
        "frames": run.measures.frames,
        "dropped_frames": run.measures.dropped_frames,
        "late_frames": run.measures.late_frames,
        "load": round(run.measures.load, 4),
        **{
            f"{name}_ms": dict(zip(("p50", "p95", "p99"), map(_rounded, _percentiles(stages[name])), strict=True))
            for name in ("lateness", "end_to_end", "step")
        },
        "broken": run.broken,
        "held": run.held,
    }


def _percentiles(distribution: Distribution) -> tuple[float, float, float]:
    return distribution.p50, distribution.p95, distribution.p99


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"


def _rounded(seconds: float) -> float:
    return round(1000 * seconds, 3)
