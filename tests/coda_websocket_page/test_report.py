"""The report of a conversation, as a person uses it in a browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, expect

from coda_core.cli.report import Factor, Mark, Report, Span, Voices, as_html
from coda_core.text import ExtractedText

OpenPage = Callable[..., Page]

REPORT = Report(
    title="Conversation abc",
    duration_s=4.0,
    facts=[("Stack", "desk")],
    texts=[
        ExtractedText(text="good", start_s=1.0, end_s=1.4, confidence=0.9),
        ExtractedText(text="morning", start_s=2.5, end_s=3.1, confidence=0.2, injected=True),
    ],
    phases=[Span(0.0, 1.0, "listening"), Span(1.0, 4.0, "responding")],
    marks=[Mark(3.2, "drop", "15 frames lost (overflow)")],
    latency=[(at * 0.5, 20.0 + 40 * at) for at in range(8)],
    measures=[("Exchanges", "2")],
    quality=[Factor("Score", "34 of 100, poor", 34.0, 100.0), Factor("latency", "too little to judge")],
    voices=Voices(np.random.default_rng(0).uniform(-0.3, 0.3, (4 * 24_000, 2)).astype(np.float32), 24_000),
)


def opened(open_page: OpenPage, folder: Path, report: Report) -> Page:
    path = folder / "report.html"
    path.write_text(as_html(report))
    return open_page(path.as_uri())


def now(page: Page) -> float:
    seconds: float = page.locator("#audio").evaluate("audio => audio.currentTime")
    return seconds


def paints(page: Page, canvas: str) -> int:
    """Return in how many colours something is drawn."""
    script = """canvas => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(data.buffer)).size;
    }"""
    colours: int = page.locator(canvas).evaluate(script)
    return colours


def test_words_and_moments_lead_into_the_recording(open_page: OpenPage, tmp_path: Path) -> None:
    page = opened(open_page, tmp_path, REPORT)
    expect(page.locator("#listen")).to_be_visible()
    word = page.get_by_role("button", name="morning")
    word.click()
    assert 2.5 <= now(page) <= 4.0
    page.locator("#audio").evaluate("audio => { audio.pause(); audio.currentTime = 2.6; }")
    expect(page.locator(".word.said")).to_have_text("morning")
    page.get_by_role("button", name="15 frames lost").click()
    assert now(page) >= 3.2
    assert paints(page, "#timeline") > 10


def test_what_was_measured_is_shown(open_page: OpenPage, tmp_path: Path) -> None:
    page = opened(open_page, tmp_path, REPORT)
    expect(page.locator("#latency")).to_have_attribute("aria-label", "Latency over time, at most 300 milliseconds")
    assert paints(page, "#latency") > 3
    expect(page.locator("#quality tr").first).to_contain_text("34 of 100 points")
    expect(page.locator("#quality tr").last).to_have_text("latencytoo little to judge")
    expect(page.locator("#measures")).to_contain_text("Exchanges")
    expect(page.locator("#legend")).to_contain_text("1 drop")


def test_what_is_not_there_is_not_shown(open_page: OpenPage, tmp_path: Path) -> None:
    page = opened(open_page, tmp_path, Report(title="nothing", duration_s=0.0))
    expect(page.get_by_text("No words.")).to_be_visible()
    for section in ("listen", "latency-section", "moments-section", "measures-section", "quality-section"):
        expect(page.locator(f"#{section}")).to_be_hidden()
