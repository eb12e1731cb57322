"""A person's way through the page, in a real browser against a real server."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import websockets
import websockets.sync.client
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, Playwright, expect

Serve = Callable[..., str]
OpenPage = Callable[..., Page]

MOSHI = 'use = "moshi"\nmodel_path = "tiny"\nconversations = 2\nseed = 1'
LAG = 1920


def start(page: Page) -> None:
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#connection")).to_have_text("open")


def until_level(page: Page, meter: str, *, above: float = -1000.0, below: float = 1000.0) -> None:
    """Wait until a meter shows a level in dB; the page's own policy forbids Playwright's way of waiting."""
    while not above < page.locator(f"#{meter}").evaluate("meter => meter.value") < below:
        page.wait_for_timeout(50)


def stop(page: Page, folder: Path) -> NDArray[np.float64]:
    """Stop, and return the recording that the page offers, ``[samples, 2]``."""
    page.get_by_role("button", name="Stop").click()
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Audio").click()
    downloading.value.save_as(folder / "conversation.wav")
    audio, rate = soundfile.read(folder / "conversation.wav")
    assert rate == 24_000
    assert audio.shape[1] == 2
    return np.asarray(audio)


def loud(audio: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which frames are not silent."""
    loudest: NDArray[np.float64] = np.abs(audio[: len(audio) // LAG * LAG].reshape(-1, LAG)).max(axis=1)
    return loudest > 0.05


def test_talk(serve: Serve, open_page: OpenPage, tmp_path: Path) -> None:
    """What the microphone plays comes back from the echo a frame later, sample for sample."""
    page = open_page(serve())
    start(page)
    expect(page.get_by_role("status").first).to_have_text("Talk: Moshi is listening.")
    expect(page.locator("#latency")).to_have_text(re.compile(r"^\d+ ms$"))
    until_level(page, "level-in", above=-30)
    until_level(page, "level-out", above=-30)
    audio = stop(page, tmp_path)
    expect(page.locator("#connection")).to_have_text("closed")
    caller, moshi = audio[:, 0], audio[:, 1]
    # Frames that were on their way when Stop was pressed were not answered.
    answered = int(np.flatnonzero(loud(moshi))[-1]) * LAG
    assert loud(caller).any()
    assert np.array_equal(caller[: answered - LAG], moshi[LAG:answered])


def test_what_the_microphone_hears_is_what_is_sent(serve: Serve, open_page: OpenPage, tmp_path: Path) -> None:
    """The page's own resampler, from the device's rate to 24 kHz, keeps the tone clean."""
    page = open_page(serve())
    start(page)
    until_level(page, "level-in", above=-30)
    until_level(page, "level-in", below=-50)
    caller = stop(page, tmp_path)[:, 0]
    frame = next(np.split(caller, range(LAG, len(caller), LAG))[place] for place in np.flatnonzero(loud(caller))[2:])
    spectrum = np.abs(np.fft.rfft(frame[:LAG] * np.hanning(len(frame[:LAG]))))
    peak = int(spectrum.argmax())
    assert 150 < peak * 24_000 / len(frame) < 900
    far = np.abs(np.arange(len(spectrum)) - peak) > 40
    assert spectrum[far].max() < 0.02 * spectrum[peak]


def test_words_arrive_and_are_taken_home(serve: Serve, open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(serve(MOSHI))
    start(page)
    words = page.locator("#words span:not(.gap)")
    expect(words.nth(2)).to_be_visible()
    assert re.fullmatch(r"confidence \d+ %", words.first.get_attribute("title") or "")
    until_level(page, "level-out", above=-40)
    moshi = stop(page, tmp_path)[:, 1]
    assert loud(moshi).any()
    shown = words.all_text_contents()
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Transcript").click()
    text = Path(downloading.value.path()).read_text("utf-8")
    said = " ".join(line.partition("moshi: ")[2] for line in text.splitlines()).split()
    assert said[: len(shown)] == " ".join(shown).split()[: len(said)]
    assert shown


def test_have_moshi_say_something(serve: Serve, open_page: OpenPage) -> None:
    page = open_page(serve(MOSHI))
    start(page)
    page.get_by_label("Have Moshi say").fill("the right word")
    page.get_by_role("button", name="Say", exact=True).click()
    expect(page.locator("#say-state")).to_have_text("Said.")
    # The last word is over, and told, when the next one begins.
    expect(page.locator("#words .asked").nth(2)).to_be_visible()
    # The random checkpoint may hang pieces of its own on the last word.
    assert " ".join(page.locator("#words .asked").all_text_contents()).startswith("the right word")


def test_hush(serve: Serve, open_page: OpenPage) -> None:
    page = open_page(serve(MOSHI))
    start(page)
    until_level(page, "level-out", above=-40)
    page.get_by_role("button", name="Hush").click()
    until_level(page, "level-out", below=-45)


def test_coming_back_after_the_connection_broke(
    serve: Serve, open_page: OpenPage, wire: Callable[[str], Any], tmp_path: Path
) -> None:
    between = wire(serve())
    page = open_page(between.url)
    start(page)
    until_level(page, "level-out", above=-30)
    between.cut()
    expect(page.locator("#connection")).to_have_text("broken, retrying")
    expect(page.get_by_role("status").first).to_contain_text("Trying to come back")
    between.mend()
    expect(page.locator("#connection")).to_have_text("open")
    expect(page.get_by_role("status").first).to_have_text("Connected again.")
    until_level(page, "level-out", above=-30)
    # The same conversation: the echo still gives back what it heard, and one recording holds both parts.
    audio = stop(page, tmp_path)
    assert loud(audio[:, 1]).sum() > 3


def test_server_that_is_restarted(
    start_stack: Callable[[str], Any], open_page: OpenPage, wire: Callable[[str], Any], tmp_path: Path
) -> None:
    """In the middle of a conversation, which the page goes on with by itself: one recording holds both parts."""
    stack = (
        "[stack]\npark_at_shutdown = true\n"
        f"[processor]\n{MOSHI}\n"
        '[state_store]\nuse = "sqlite"\npath = "conversations.db"\n'
        '[[transport]]\nuse = "websocket"\nport = 0\n'
    )
    server, url = start_stack(stack)
    between = wire(url)
    page = open_page(between.url)
    start(page)
    until_level(page, "level-out", above=-40)
    server.send_signal(signal.SIGINT)
    expect(page.locator("#connection")).to_have_text("broken, retrying")
    between.cut()
    assert server.wait() == 130
    spoken = page.locator("#words span").count()
    between.lead_to(start_stack(stack)[1])
    expect(page.get_by_role("status").first).to_have_text("Connected again.")
    expect(page.locator("#words span").nth(spoken + 1)).to_be_visible()
    assert loud(stop(page, tmp_path)[:, 1]).any()


def test_server_that_has_forgotten(serve: Serve, open_page: OpenPage, wire: Callable[[str], Any]) -> None:
    """It was killed, and started again without a store: nothing is left to come back to."""
    between = wire(serve())
    page = open_page(between.url)
    start(page)
    between.cut()
    between.lead_to(serve(websocket="grace_s = 1"))
    expect(page.get_by_role("alert")).to_contain_text("no longer knows this conversation")
    expect(page.get_by_role("button", name="Start")).to_be_enabled()


def test_token(serve: Serve, open_page: OpenPage) -> None:
    url = serve(websocket='token = "open-sesame"')
    page = open_page(url)
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert")).to_contain_text("asks for a token")
    expect(page.get_by_label("Token")).to_be_focused()
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert")).to_contain_text("does not accept this token")
    page.get_by_label("Token").fill("open-sesame")
    page.keyboard.press("Enter")
    expect(page.locator("#connection")).to_have_text("open")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_token_in_the_link(serve: Serve, open_page: OpenPage) -> None:
    url = serve(websocket='token = "open-sesame"')
    page = open_page(f"{url}/#token=open-sesame")
    start(page)
    assert page.url == f"{url}/"


def test_full_house(serve: Serve, open_page: OpenPage) -> None:
    url = serve('use = "echo"\nconversations = 1')
    first, second = open_page(url), open_page(url)
    start(first)
    second.get_by_role("button", name="Start").click()
    expect(second.get_by_role("alert")).to_contain_text("All places are taken")
    first.get_by_role("button", name="Stop").click()
    expect(first.locator("#connection")).to_have_text("closed")
    start(second)


def test_refused_microphone(playwright: Playwright, chromium: str, serve: Serve) -> None:
    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
    try:
        page = browser.new_page()
        page.goto(serve())
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_role("alert")).to_contain_text(re.compile("microphone", re.IGNORECASE))
        expect(page.get_by_role("button", name="Start")).to_be_enabled()
    finally:
        browser.close()


def test_server_that_ends(serve: Serve, open_page: OpenPage, wire: Callable[[str], Any]) -> None:
    between = wire(serve())
    page = open_page(between.url)
    between.cut()
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")


def test_keyboard_alone(serve: Serve, open_page: OpenPage) -> None:
    page = open_page(serve(MOSHI))
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Start")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#connection")).to_have_text("open")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Hush")).to_be_focused()
    page.keyboard.press("Tab")  # the words can be scrolled
    page.keyboard.press("Tab")
    expect(page.get_by_label("Have Moshi say")).to_be_focused()
    page.keyboard.type("good")
    page.keyboard.press("Enter")
    expect(page.locator("#say-state")).not_to_have_text("")


def test_what_a_screen_reader_finds(serve: Serve, open_page: OpenPage) -> None:
    page = open_page(serve())
    for role, name in (
        ("heading", "Coda"),
        ("img", "Waveforms of the last seconds: you above, Moshi below"),
        ("button", "Start"),
        ("meter", "You"),
        ("meter", "Moshi"),
        ("log", "What Moshi says"),
        ("textbox", "Have Moshi say"),
    ):
        expect(page.get_by_role(role, name=name)).to_have_count(1)  # type: ignore[arg-type]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_page_fits_and_can_be_read(serve: Serve, open_page: OpenPage, width: int, scheme: str) -> None:
    page = open_page(serve(), width=width, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.get_by_text("Microphone and access").click()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for selector in ("#status", ".hint", "dt", "#talk", "#say-state", "summary", "a"):
        for ratio in page.evaluate(CONTRASTS, selector):
            assert ratio >= 4.5, selector


CONTRASTS = """(selector) => {
  const parse = (text) => text.match(/[0-9.]+/g).map(Number);
  const channel = (value) => value <= 10.3 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = parse(getComputedStyle(each).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll(selector)].map((element) => {
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  });
}"""


def test_asks_nobody_else(serve: Serve, browser: Browser) -> None:
    url = serve()
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    page.wait_for_load_state("networkidle")
    assert asked
    assert all(each.startswith((url, "blob:")) for each in asked)
    context.close()


def test_slot_is_free_after_the_page_is_closed(serve: Serve, browser: Browser) -> None:
    """A page that goes away says goodbye: whoever comes next gets its place."""
    url = serve('use = "echo"\nconversations = 1', "grace_s = 20")
    context = browser.new_context(permissions=["microphone"])
    page = context.new_page()
    page.goto(url)
    start(page)
    context.close()

    address = url.replace("http", "ws", 1) + "/api/chat?codec=pcm"
    for _ in range(200):
        try:
            with websockets.sync.client.connect(address) as socket:
                assert socket.recv()[0] == 0
            return
        except websockets.InvalidStatus:
            continue
    pytest.fail("the place was never free")


def test_a_caller_is_told_that_the_conversation_is_recorded(serve: Serve, open_page: OpenPage) -> None:
    page = open_page(serve(websocket="[state_manager]\nrecord_audio = true"))
    expect(page.locator("#recorded")).to_be_hidden()
    start(page)
    expect(page.get_by_text("This conversation is recorded")).to_be_visible()
    plain = open_page(serve())
    start(plain)
    expect(plain.locator("#recorded")).to_be_hidden()
