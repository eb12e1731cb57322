"""The checkpoint that comes with Coda, talked to in a browser whose microphone plays the demo's recording."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
import soxr
from playwright.sync_api import Page, expect

from coda_core.cli.demo.caller import chosen_caller
from tests.demo_script import REPLIES


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the microphone plays, again and again: three questions."""
    path = tmp_path_factory.mktemp("microphone") / "caller.wav"
    with chosen_caller(None) as recorded:
        speech, rate = soundfile.read(recorded.path)
    soundfile.write(path, soxr.resample(speech, rate, 48_000), 48_000, subtype="PCM_16")
    return path


def test_it_answers_a_microphone_and_says_what_is_typed(
    serve: Callable[..., str], open_page: Callable[..., Page]
) -> None:
    page = open_page(serve('use = "moshi"\nmodel_path = "demo"\nconversations = 2\nseed = 1'))
    page.get_by_role("button", name="Start").click()
    answers = "|".join(REPLIES[name].replace(" ", r"\s*") for name in ("hello", "coda", "plugin"))
    expect(page.locator("#words")).to_contain_text(re.compile(answers))
    page.get_by_label("Have Moshi say").fill("Good morning, my friend!")
    page.get_by_role("button", name="Say", exact=True).click()
    expect(page.locator("#words")).to_contain_text(re.compile(r"good\s*morning\s*my\s*friend"))
    page.get_by_label("Have Moshi say").fill("Good morning, qwertz!")
    page.get_by_role("button", name="Say", exact=True).click()
    expect(page.locator("#say-state")).to_contain_text("never learnt to say qwertz")
