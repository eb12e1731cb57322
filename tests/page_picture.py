"""README's picture of the web page: Chromium talks to the checkpoint `demo`, with the demo's caller for a microphone.

python tests/page_picture.py        # makes docs/images/page.png anew; look at it before it is committed
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import soundfile
import soxr
from playwright.sync_api import expect, sync_playwright

from coda_core.cli.demo.caller import chosen_caller
from tests.coda_websocket_page.conftest import ARGUMENTS, started

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "page.png"
STACK = """
[processor]
use = "moshi"
model_path = "demo"
conversations = 1
seed = 1

[[transport]]
use = "websocket"
port = 0
"""
LAST_WORDS = "small package with"
"""Of the third answer: when they are on the page, its question is still on the time line."""


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    assert chromium is not None, "no Chromium is installed; on Debian: apt install chromium"
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        microphone = Path(folder) / "caller.wav"
        with chosen_caller(None) as recorded:
            speech, rate = soundfile.read(recorded.path)
        soundfile.write(microphone, soxr.resample(speech, rate, 48_000), 48_000, subtype="PCM_16")
        stack = Path(folder) / "stack.toml"
        stack.write_text(STACK)
        process, url = started(stack)
        try:
            said = ["--use-fake-ui-for-media-stream", f"--use-file-for-fake-audio-capture={microphone}"]
            browser = playwright.chromium.launch(executable_path=chromium, args=[*ARGUMENTS, *said])
            page = browser.new_page(viewport={"width": 860, "height": 660}, device_scale_factor=2, color_scheme="light")
            page.goto(url)
            page.get_by_role("button", name="Start").click()
            expect(page.locator("#words")).to_contain_text(LAST_WORDS, timeout=120_000)
            page.screenshot(path=PICTURE)
            browser.close()
        finally:
            process.kill()
            process.wait()
    print(f"made {PICTURE}")


if __name__ == "__main__":
    main()
