"""The benchmarks, each run with tiny parameters: they run, and they print the JSON that is promised."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parent / "bench"


def run(name: str, *arguments: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Run a benchmark; return its results by case and metric."""
    # What moshi compiles where it may takes longer than everything else here.
    environment = {**os.environ, "NO_TORCH_COMPILE": "1"}
    command = [sys.executable, str(BENCH / f"{name}.py"), "--json", *arguments]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    printed = json.loads(ran.stdout)
    assert set(printed) == {"benchmark", "results"}
    assert printed["benchmark"] == name
    for result in printed["results"]:
        assert set(result) == {"case", "metric", "unit", "value", "baseline", "ratio"}
        assert (result["ratio"] is None) == (not result["baseline"])
    results = {(result["case"], result["metric"]): result for result in printed["results"]}
    assert len(results) == len(printed["results"]) > 0
    return results


def test_every_benchmark_is_run_here() -> None:
    benchmarks = {path.stem for path in BENCH.glob("*.py") if "arguments(__doc__)" in path.read_text()}
    assert benchmarks == {
        "network",
        "overhead",
        "threads",
        "sustained",
        "join",
        "soak",
        "state",
        "plan",
        "step",
        "park",
    }


def test_overhead() -> None:
    results = run("overhead", "--checkpoint", "tiny", "--batch", "1", "--steps", "3", "--rounds", "1")
    for case in ("fast step", "stock modules", "as shipped"):
        assert results[f"B=1, {case}", "step, wall"]["baseline"] > 0
        assert results[f"B=1, {case}", "step, processor"]["baseline"] > 0


def test_threads() -> None:
    results = run("threads", "--batch", "2", "--steps", "3", "--rounds", "1")
    threads = [value["value"] for (_, metric), value in results.items() if not metric.startswith("all")]
    assert len(threads) == 4  # the event loop, the worker, the extractor and the state manager
    assert sum(threads) == pytest.approx(results["B=2", "all"]["value"])


def test_step() -> None:
    """Where tokens differ from the reference loop's, the benchmark fails."""
    results = run("step", "--batch", "2", "--steps", "12", "--rounds", "1")
    for mode in ("greedy", "sampled"):
        assert results[f"B=2, {mode}", "step"]["baseline"] > 0


def test_sustained_beside_the_reference_server() -> None:
    results = run(
        *("sustained", "--callers", "1", "--seconds", "1", "--most", "1", "--search-seconds", "0.5"),
        *("--reference-seconds", "1.2"),
    )
    assert results["1 callers", "step p50"]["baseline"] > 0
    for metric in ("dropped", "unanswered", "load", "cpu of the kernel", "cpu of the callers"):
        assert results["1 callers", metric]["baseline"] is None
    for stage in ("lateness", "end to end", "behind"):
        p50, p95, p99 = (results["1 callers", f"{stage} p{rank}"]["value"] for rank in (50, 95, 99))
        assert p50 <= p95 <= p99
    assert results["largest", "callers held"]["baseline"] == 1
    assert results["second caller", "refused"]["value"] >= 0
    assert results["reference server, 1 client", "end to end p50"]["value"] > 0


def test_join() -> None:
    results = run(
        "join", "--checkpoint", "tiny", "--others", "2", "--joins", "1", "--quiet-seconds", "0.5", "--pause", "0"
    )
    assert results["joining 2 others", "joined"]["value"] + results["joining 2 others", "refused"]["value"] >= 1
    assert results["the 2 others", "dropped"]["baseline"] is None


def test_soak() -> None:
    results = run("soak", "--checkpoint", "tiny", "--frames", "60", "--callers", "2", "--looks", "10")
    assert results["2 slots", "frames"]["value"] == 60
    for metric in ("resident_mb", "threads", "descriptors"):
        assert results["2 slots", f"{metric} median"]["baseline"] > 0


def test_plan() -> None:
    results = run("plan", "--checkpoint", "tiny", "--batch", "2")
    cases = {case for case, _ in results}
    assert len(cases) == 3
    for case in cases:
        for metric in ("weights", "rings", "state"):
            assert results[case, metric]["ratio"] == 1.0
        assert 0.98 < results[case, "everything"]["ratio"] < 1.02


def test_park() -> None:
    results = run("park", "--checkpoint", "tiny", "--frames", "4", "--rounds", "2", "--slots", "2")
    assert results["after 4 frames", "file"]["baseline"] > results["after 4 frames", "file"]["value"] > 0
    for part in ("export", "to file", "from file", "restore", "resume"):
        assert results["after 4 frames", part]["baseline"] > 0


def test_state() -> None:
    results = run("state", "--conversations", "3", "--steps", "400", "--appends", "3", "--stored", "5")
    for metric in ("feed p50", "feed p99", "append p50", "append p99"):
        assert results["3 conversations", metric]["baseline"] > 0
    assert results["5 stored", "search one"]["value"] > 0
    assert results["5 stored", "delete"]["baseline"] is None


def test_network_beside_the_reference_server() -> None:
    results = run(
        *("network", "--processors", "echo", "--callers", "2", "--seconds", "1", "--reference-seconds", "1.2"),
        *("--opus-processes", "1"),
    )
    for codec in ("opus", "pcm"):
        case = f"echo, 2 callers, {codec}"
        assert results[case, "dropped before the model"]["value"] == 0
        assert results[case, "from one caller"]["value"] > 0
        p50, p95, p99 = (results[case, f"added p{rank}"]["value"] for rank in (50, 95, 99))
        assert p50 <= p95 <= p99
    assert results["reference server, 1 caller, opus", "end to end p50"]["value"] > 0
