"""A real Chromium with a fake microphone, a real server, and a wire between them that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, expect, sync_playwright

Serve = Callable[..., str]
OpenPage = Callable[..., Page]
StartStack = Callable[[str], tuple[subprocess.Popen[str], str]]

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",
)


# Not for the session: while Playwright's own loop runs in this thread, no other test could run one.
@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no Chromium is installed; on Debian: apt install chromium")
    return found


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the fake microphone plays, again and again: two seconds of a rising tone, a second of nothing."""
    path = tmp_path_factory.mktemp("microphone") / "caller.wav"
    seconds = np.arange(2 * 48_000) / 48_000
    tone = 0.4 * np.sin(2 * np.pi * (200 * seconds + 150 * seconds**2))
    soundfile.write(path, np.concatenate([tone, np.zeros(48_000)]), 48_000, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    # What a person would notice is none of these tests' business: a busy machine is slow.
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright, chromium: str, caller: Path) -> Iterator[Browser]:
    """A browser in which every page may use the microphone."""
    arguments = [*ARGUMENTS, "--use-fake-ui-for-media-stream", f"--use-file-for-fake-audio-capture={caller}"]
    browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
    yield browser
    browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens a page; what it complains of in the console fails the test."""
    complaints: list[str] = []
    contexts = []

    def complain(message: ConsoleMessage) -> None:
        # The browser tells of every connection that broke; tests break some.
        broke = "WebSocket connection to" in message.text or "net::ERR_" in message.text
        if message.type in ("error", "warning") and not broke:
            complaints.append(message.text)

    def open_page(url: str, *, width: int = 900, height: int = 820, scheme: str = "light") -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            permissions=["microphone"],
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", complain)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Runs ``coda run`` in a process of its own, one for each stack that is asked for; returns the server's URL."""
    folder = tmp_path_factory.mktemp("servers")
    running: dict[tuple[str, str], tuple[subprocess.Popen[str], str]] = {}

    def serve(processor: str = 'use = "echo"', websocket: str = "") -> str:
        if (processor, websocket) not in running:
            stack = folder / f"stack{len(running)}.toml"
            stack.write_text(f'[processor]\n{processor}\n[[transport]]\nuse = "websocket"\nport = 0\n{websocket}\n')
            running[processor, websocket] = started(stack)
        return running[processor, websocket][1]

    yield serve
    for process, _ in running.values():
        process.kill()
        process.wait()


@pytest.fixture
def start_stack(tmp_path: Path) -> Iterator[StartStack]:
    """Runs ``coda run`` with a stack; returns the process and its URL. It can be started again where it was."""
    processes: list[subprocess.Popen[str]] = []

    def start(text: str) -> tuple[subprocess.Popen[str], str]:
        (tmp_path / "stack.toml").write_text(text)
        process, url = started(tmp_path / "stack.toml")
        processes.append(process)
        return process, url

    yield start
    for process in processes:
        process.kill()
        process.wait()


def started(stack: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "coda_core.cli", "run", str(stack)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert process.stderr is not None
    told = []
    for line in process.stderr:
        told.append(line)
        found = re.search(r"^listening on (\S+)", line)
        if found:
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return process, found[1]
    raise AssertionError("".join(told))


class Wire:
    """Carries TCP connections to a server, and cuts them."""

    def __init__(self, url: str) -> None:
        self._host, _, port = url.removeprefix("http://").partition(":")
        self._port = int(port)
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._whole = True
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,))
        self._thread.start()
        ready.wait()

    def cut(self) -> None:
        """End every connection, and take no new one."""
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result()

    def mend(self) -> None:
        self._whole = True

    def lead_to(self, url: str) -> None:
        """Take new connections again, to the server of that URL."""
        self._port = int(url.rpartition(":")[2])
        self.mend()

    def close(self) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _cut(self) -> None:
        self._whole = False
        for writer in self._writers:
            writer.transport.abort()

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._carry, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        self._loop.run_forever()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._whole:
            writer.transport.abort()
            return
        there_reader, there = await asyncio.open_connection(self._host, self._port)
        self._writers |= {writer, there}
        await asyncio.gather(_pump(reader, there), _pump(there_reader, writer))
        self._writers -= {writer, there}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


@pytest.fixture
def wire() -> Iterator[Callable[[str], Wire]]:
    """Puts a wire between a page and the server of that URL."""
    wires: list[Wire] = []

    def wire(url: str) -> Wire:
        wires.append(Wire(url))
        return wires[-1]

    yield wire
    for each in wires:
        each.close()
