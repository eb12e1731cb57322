from __future__ import annotations

import json
import logging
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import attrs
import pytest

from coda_core.cli.bench.findings import Batch, Findings, Paced
from coda_core.cli.bench.once import each_said_once
from coda_core.cli.bench.page import page
from coda_core.cli.bench.picture import picture
from coda_core.cli.bench.subject import measured_subject
from coda_core.cli.bench.summary import answer, as_json_object
from coda_core.cli.bench.timing import time_batches
from coda_core.errors import OutOfMemory
from coda_core.interfaces import Distribution, Measures
from coda_core.testing import ManualClock

Run = Callable[..., Any]
Start = Callable[..., subprocess.Popen[str]]
Install = Callable[[str, str], None]

# A model whose step takes as long as its settings say: with each conversation that it is made for a little longer.
SLOW = """
import attrs
from contextlib import contextmanager
from coda_core.errors import OutOfMemory
from coda_core.hookspecs import hookimpl
from coda_core.interfaces import Component
from coda_core.settings import setting
from coda_core.testing import ManualClock, ScriptedProcessor
CODA_CONTRACT = 1

@attrs.frozen
class Slow:
    conversations: int = setting(1, minimum=1, maximum=1000, help="slots")
    ms: float = setting(0.0, help="of a step, for each slot")
    room: int = setting(1000, help="slots that there is memory for")

@attrs.frozen
class Fixed:
    ms: float = setting(0.0, help="of a step, for each slot that takes part")

@contextmanager
def build(config, context):
    slots = getattr(config, "conversations", 4)
    if slots > getattr(config, "room", 1000):
        raise OutOfMemory(f"{slots} slots\\ndo not fit")
    processor = ScriptedProcessor(slots)
    if isinstance(context.clock, ManualClock):
        processor.on_step = lambda batch: context.clock.advance(len(batch.slots) * config.ms / 1000)
    yield processor
    assert not processor.opened

@hookimpl
def coda_register_processors():
    return [Component("slow", "Slow.", Slow, build), Component("fixed", "Has four slots.", Fixed, build)]
"""


def measured(here: Path, settings: str, most: int | None = None) -> Findings:
    """Time the batches of a processor on a clock that only its steps move."""
    stack = here / "stack.toml"
    stack.write_text(f"[processor]\n{settings}")
    subject = measured_subject(stack, (), ManualClock())
    findings = Findings.about(subject)
    time_batches(subject, most, findings, lambda what, done, total: None)
    return findings


def tried(findings: Findings) -> list[tuple[int, bool]]:
    return [(batch.conversations, batch.fits) for batch in findings.batches]


def found(*batches: tuple[int, float], held: int, limit: Any = "time") -> Findings:
    """Findings that nobody had to measure: sizes and step times in ms, and how many were held in the end."""
    nothing = Distribution(count=0, mean=0.0, p50=0.0, p95=0.0, p99=0.0, maximum=0.0)
    some = Distribution(count=9, mean=0.01, p50=0.01, p95=0.01, p99=0.02, maximum=0.02)
    measures = Measures(
        capacity=held,
        live=held,
        paused=0,
        load=0.5,
        realtime_factor=2.0,
        frames=9,
        dropped_frames=0,
        late_frames=0,
        skipped_records={},
        cpu_cores=1.0,
        resident_bytes=1,
        stages_s={"lateness": some, "end_to_end": nothing, "step": some},
        conversations={},
    )
    return Findings(
        subject="tiny",
        processor="moshi",
        stack="coda",
        headroom=0.1,
        outcome="finished",
        limit=limit,
        batches=[
            Batch(conversations=count, step_s=(ms / 1000,) * 3, frame_s=0.08, budget_s=0.072) for count, ms in batches
        ],
        paced=[Paced(conversations=held, seconds=20.0, frame_s=0.08, measures=measures)] if held else [],
    )


def test_the_largest_batch_that_fits_is_found(here: Path, install: Install) -> None:
    install("slow", SLOW)
    # 72 ms are there: 57 slots of 1.25 ms.
    findings = measured(here, 'use = "slow"\nms = 1.25')
    doubled = [(1, True), (2, True), (4, True), (8, True), (16, True), (32, True), (64, False)]
    assert tried(findings) == [*doubled, (48, True), (56, True), (60, False), (58, False)]
    assert (findings.fitting, findings.limit) == (56, "time")
    assert [batch.p50_s for batch in findings.batches] == pytest.approx([n * 0.00125 for n, _ in tried(findings)])
    assert {round(batch.realtime_factor, 6) for batch in findings.batches} == {64.0}


def test_small_numbers_are_found_exactly(here: Path, install: Install) -> None:
    install("slow", SLOW)
    findings = measured(here, 'use = "slow"\nms = 13')
    assert tried(findings) == [(1, True), (2, True), (4, True), (8, False), (6, False), (5, True)]
    assert findings.fitting == 5


def test_no_conversation_fits(here: Path, install: Install) -> None:
    install("slow", SLOW)
    findings = measured(here, 'use = "slow"\nms = 1000')
    assert tried(findings) == [(1, False)]
    # A slow model is stepped for a few seconds, not forty times.
    assert len(findings.batches[0].step_s) == 5
    findings.outcome = "finished"
    assert answer(findings) == (
        "This machine does not hold a conversation in real time with slow: "
        "a step takes 1000.0 ms, and there are 72.0 ms for it."
    )


def test_no_more_than_was_asked_for_is_tried(here: Path, install: Install) -> None:
    install("slow", SLOW)
    findings = measured(here, 'use = "slow"', most=6)
    assert tried(findings) == [(1, True), (2, True), (4, True), (6, True)]
    assert findings.limit == "most"


def test_no_more_than_the_setting_allows_is_tried(here: Path, install: Install) -> None:
    install("slow", SLOW)
    findings = measured(here, 'use = "slow"', most=5000)
    assert tried(findings)[-2:] == [(512, True), (1000, True)]
    assert findings.limit == "most"


def test_memory_is_a_limit(here: Path, install: Install) -> None:
    install("slow", SLOW)
    findings = measured(here, 'use = "slow"\nms = 1\nroom = 5')
    assert tried(findings) == [(1, True), (2, True), (4, True), (8, False), (6, False), (5, True)]
    assert (findings.fitting, findings.limit) == (5, "memory")
    assert findings.batches[-2].problem == "6 slots do not fit"
    rows = as_json_object(findings)["batches"]
    assert rows[-1] == {
        "conversations": 8,
        "steps": 0,
        "step_ms": None,
        "realtime_factor": None,
        "fits": False,
        "problem": "8 slots do not fit",
    }


def test_no_memory_for_one_is_an_error(here: Path, install: Install) -> None:
    install("slow", SLOW)
    with pytest.raises(OutOfMemory, match="1 slots"):
        measured(here, 'use = "slow"\nroom = 0')


def test_a_processor_of_fixed_size_is_tried_up_to_it(here: Path, install: Install) -> None:
    install("slow", SLOW)
    assert tried(measured(here, 'use = "fixed"')) == [(1, True), (2, True), (4, True)]
    assert tried(measured(here, 'use = "fixed"\nms = 20')) == [(1, True), (2, True), (4, False), (3, True)]


def test_head_room_is_that_of_the_stack(here: Path, install: Install) -> None:
    install("slow", SLOW)
    findings = measured(here, 'use = "slow"\nms = 20\n[streaming_manager]\nheadroom = 0.5')
    assert findings.batches[0].budget_s == pytest.approx(0.04)
    assert findings.fitting == 2


def test_what_takes_no_part_is_left_out(here: Path) -> None:
    stack = here / "stack.toml"
    stack.write_text(
        """
        [stack]
        streaming_enabled = false
        [audio_source]
        use = "file"
        path = "nowhere.wav"
        [processor]
        use = "echo"
        fallback = "echo"
        [state_store]
        use = "sqlite"
        [[transport]]
        use = "file"
        path = "reply.wav"
        """
    )
    subject = measured_subject(stack, ("processor.delay_frames=2",))
    resolved = subject.resolved
    assert [one.label for one in resolved.all()] == ["echo", "inner-monologue", "realtime", "conversation", "memory"]
    assert resolved.processor.config.delay_frames == 2
    assert subject.most == 1024


def test_confirms_in_real_time(run: Run, here: Path) -> None:
    (here / "stack.toml").write_text('[processor]\nuse = "echo"\n')
    told = run("bench", "stack.toml", "--max", "3", "--seconds", "1", "--json")
    assert told.code == 0
    result = json.loads(told.out)
    assert [batch["conversations"] for batch in result["batches"]] == [1, 2, 3]
    assert all(batch["fits"] and batch["steps"] == 40 for batch in result["batches"])
    (paced,) = result["paced"]
    assert (paced["conversations"], paced["frames"], paced["dropped_frames"]) == (3, 3 * 12, 0)
    assert set(paced["lateness_ms"]) == set(paced["end_to_end_ms"]) == set(paced["step_ms"]) == {"p50", "p95", "p99"}
    assert (result["outcome"], result["limit"], result["checkpoint"]) == ("finished", "most", "echo")
    assert (result["frame_ms"], result["budget_ms"]) == (80, 72)
    assert result["conversations"] == (3 if paced["held"] else 0)
    assert "3 callers talking for 1 s: 100 %" in told.err
    assert {each.name for each in here.iterdir()} == {"stack.toml"}


def test_tells_a_person(run: Run, here: Path) -> None:
    (here / "stack.toml").write_text('[processor]\nuse = "echo"\n')
    told = run("bench", "stack.toml", "--max", "2", "--seconds", "1", "--plot", "steps.html")
    lines = told.out.splitlines()
    assert lines[0].split("  ")[0] == "conversations"
    assert [line.split()[0] for line in lines[1:3]] == ["1", "2"]
    assert "A step fits where its p95 is at most 72.0 ms: a frame's 80.0 ms less a head-room of 10%." in lines
    assert lines[-1] == "The step times are drawn in steps.html."
    assert (here / "steps.html").read_text().startswith("<!doctype html>")


def test_stopped_in_the_middle(start: Start, here: Path) -> None:
    (here / "stack.toml").write_text('[processor]\nuse = "echo"\n')
    process = start("bench", "stack.toml", "--max", "1", "--seconds", "600", "--json")
    assert process.stderr is not None
    while "caller talking" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, err) == (130, "")
    result = json.loads(out)
    assert (result["outcome"], result["conversations"], result["paced"]) == ("interrupted", 0, [])
    assert len(result["batches"]) == 1


def test_without_a_stack_it_is_the_demo_checkpoint() -> None:
    subject = measured_subject(None, ())
    assert (subject.name, subject.resolved.processor.label, subject.headroom) == ("demo", "moshi", 0.1)


def test_an_answer_for_each_end() -> None:
    batches = [(1, 30.0), (2, 40.0)]
    assert answer(found(*batches, held=2)) == 'This machine holds 2 conversations at once with the checkpoint "tiny".'
    assert answer(found(*batches, held=1)) == 'This machine holds 1 conversation at once with the checkpoint "tiny".'
    assert answer(found(*batches, held=2, limit="memory")).endswith("; there is no memory for more.")
    assert answer(found(*batches, held=2, limit="most")).endswith(", and perhaps more: no larger number was tried.")
    # What was given up for lateness was not held up by the largest number that was tried.
    assert answer(found(*batches, held=1, limit="most")) == answer(found(*batches, held=1))


def test_late_dropped_or_broken_is_not_held() -> None:
    (run,) = found((1, 30.0), held=1).paced
    assert run.held

    def changed(**fields: Any) -> bool:
        return attrs.evolve(run, measures=attrs.evolve(run.measures, **fields)).held

    late = Distribution(count=9, mean=0.1, p50=0.1, p95=0.1, p99=0.1, maximum=0.1)
    assert not changed(dropped_frames=1)
    assert not changed(stages_s={"lateness": late})
    assert not Paced(conversations=1, seconds=1.0, frame_s=0.08, measures=run.measures, broken=True).held


@pytest.mark.parametrize(
    "findings",
    [
        found((1, 30.0), (2, 31.0), (64, 70.0), (128, 110.0), held=64),
        found((1, 30.0), held=1),
        found((1, 5000.0), held=0),
    ],
)
def test_page_stands_alone(findings: Findings) -> None:
    html = page(findings)
    assert "prefers-color-scheme: dark" in html
    assert not re.search(r"https?:|<script|<link|<img|url\(", html)
    drawing = html[html.index("<svg") : html.index("</svg>") + len("</svg>")]
    svg = ElementTree.fromstring(drawing)
    _, _, width, height = map(float, svg.attrib["viewBox"].split())
    for name in ("median", "p95"):
        (curve,) = svg.findall(f"polyline[@class='{name}']")
        points = [tuple(map(float, point.split(","))) for point in curve.attrib["points"].split()]
        assert len(points) == len(findings.batches) == len(svg.findall(f"circle[@class='{name}-dot']"))
        assert all(0 <= x <= width and 0 <= y <= height for x, y in points)
        assert points == sorted(points)
    assert len(svg.findall("line[@class='holds']")) == bool(findings.conversations)
    assert html.count("<tr>") == 1 + len(findings.batches)


def test_page_escapes_names() -> None:
    findings = found((1, 30.0), held=1)
    findings.subject = "<b>&"
    assert "&lt;b&gt;&amp;" in page(findings)
    assert "<b>" not in page(findings)


def test_picture_is_a_png() -> None:
    drawn = picture(found((1, 30.0), (2, 31.0), held=2))
    assert drawn.startswith(b"\x89PNG\r\n\x1a\n")
    assert (int.from_bytes(drawn[16:20], "big"), int.from_bytes(drawn[20:24], "big")) == (1440, 800)


def test_png_without_matplotlib_says_what_to_install(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coda_core.cli.bench.plot.missing_modules", lambda requires: requires.modules)
    told = run("bench", "--plot", "steps.png")
    assert (told.code, told.out) == (2, "")
    assert told.err == (
        "coda: error: drawing a PNG needs the package matplotlib, which is not installed. "
        "Run: pip install 'coda-core[plot]', or give a name that ends in .html\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--plot", "steps.pdf"), "must end in .png or .html"),
        (("--plot", "nowhere/steps.html"), "there is no folder"),
        (("--set", "processor.use=echo"), "give STACK too"),
        (("--max", "0"), "--max"),
        (("missing.toml",), "there is no such file"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_measured(
    run: Run, arguments: tuple[str, ...], message: str
) -> None:
    told = run("bench", *arguments)
    assert (told.code, told.out) == (2, "")
    assert message in told.err


def test_each_message_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("coda.test")
    with each_said_once():
        for text in ("again", "again", "another", "again"):
            logger.warning(text)
    logger.warning("again")
    assert caplog.messages == ["again", "another", "again"]
