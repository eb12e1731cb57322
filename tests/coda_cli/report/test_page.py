"""The page, as a parser of HTML sees it; what it looks like is seen in a browser."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from html.parser import HTMLParser
from typing import Any

import numpy as np
import soundfile

from coda_core.cli.report import Mark, Report, Span, Voices, as_html
from coda_core.text import ExtractedText


class Page(HTMLParser):
    """The elements of a page: attributes and text of each, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))
        self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.elements[-1][2].append(data)

    def all(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attributes, "".join(text)) for name, attributes, text in self.elements if name == tag]

    def data(self) -> Any:
        return next(json.loads(text) for attributes, text in self.all("script") if "type" in attributes)


def word(text: str) -> ExtractedText:
    return ExtractedText(text=text, start_s=0.08, end_s=0.4, confidence=0.5)


EMPTY = Report(title="nothing", duration_s=0.0)
NASTY = '</script><img src=x onerror="alert(1)">{{DATA}}'


def test_what_was_said_cannot_become_part_of_the_page() -> None:
    report = Report(
        title=NASTY,
        duration_s=1.0,
        facts=[(NASTY, NASTY)],
        texts=[word(NASTY)],
        marks=[Mark(0.1, "fault", NASTY)],
        phases=[Span(0, 1, NASTY)],
    )
    page, plain = Page(as_html(report)), Page(as_html(EMPTY))
    assert [tag for tag, _, _ in page.elements] == [tag for tag, _, _ in plain.elements]
    assert page.all("h1")[0][1] == NASTY
    told = page.data()
    assert (told["words"][0]["text"], told["facts"], told["marks"]) == (
        NASTY,
        [[NASTY, NASTY]],
        [[0.1, "fault", NASTY]],
    )


def test_policy_allows_the_page_itself_and_nothing_else() -> None:
    page = Page(as_html(EMPTY))
    policy = next(meta["content"] for meta, _ in page.all("meta") if meta.get("http-equiv"))
    script = next(text for attributes, text in page.all("script") if "type" not in attributes)
    style = page.all("style")[0][1]
    for text in (script, style):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in str(policy)
    assert str(policy).startswith("default-src 'none';")
    assert not any("src" in attributes for tag in ("script", "img", "link") for attributes, _ in page.all(tag))


def test_audio_is_in_the_page_sample_for_sample() -> None:
    pcm = (np.sin(np.arange(4800 * 2) / 20).reshape(-1, 2) * 0.5).astype(np.float32)
    page = Page(as_html(Report(title="t", duration_s=0.2, voices=Voices(pcm, 24_000))))
    kind, _, content = str(page.all("audio")[0][0]["src"]).partition(",")
    assert kind == "data:audio/flac;base64"
    found, rate = soundfile.read(io.BytesIO(base64.b64decode(content)), dtype="float32")
    assert rate == 24_000
    assert np.abs(found - pcm).max() <= 2**-15


def test_peaks_are_the_largest_samples_of_each_hundredth() -> None:
    pcm = np.zeros((2400, 2), np.float32)
    pcm[250, 0], pcm[2399, 1] = -0.5, 1.5
    told = Page(as_html(Report(title="t", duration_s=0.1, voices=Voices(pcm, 24_000)))).data()
    caller, moshi = (list(base64.b64decode(side)) for side in told["peaks"])
    assert caller == [0, 128, *[0] * 8]
    assert moshi == [*[0] * 9, 255]


def test_without_a_recording() -> None:
    page = Page(as_html(EMPTY))
    assert page.data()["peaks"] == []
    assert page.all("audio")[0][0]["src"] == ""
