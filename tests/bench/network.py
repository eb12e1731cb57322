"""What the network adds: callers over WebSockets, from another process, who talk in real time.

Each case is a server of its own on the loopback address, with as many slots as callers. For every frame the callers
note when they sent it and when its answer came; the server's side knows when the frame entered its queue and when the
answer was handed over. What lies outside of those two moments is what the network, the framing and the codec add:

- ``inward`` is from a block being sent to its frame being queued for the model,
- ``outward`` is from the hand-over of its answer to the message with it arriving,
- ``added`` is both together, and ``end to end`` is everything, from when a block was due.

``loop lag`` is by how much the server's event loop is late for what is due: its ticks. The reference server
(``python -m moshi.server``) runs beside it with one caller, on the same checkpoint.

    python tests/bench/network.py --json
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import numpy as np
import psutil
from checkpoints import checkpoint_folder, checkpoint_option
from numpy.typing import NDArray
from reference import Reference, reference_server
from reporting import Result, arguments, report

from coda_core import FRAME_S, AudioFrame, Kernel, Opened, Stack
from coda_moshi.config import EchoConfig, MoshiConfig
from coda_streaming.config import RealtimeConfig
from coda_websocket.application import Application, open_application
from coda_websocket.config import WebsocketConfig
from coda_websocket.server import serving

_TICK_S = 0.01


@attrs.frozen(kw_only=True, eq=False)
class Run:
    """One number of callers with one codec, in seconds and bytes."""

    added: NDArray[np.float64]
    inward: NDArray[np.float64]
    outward: NDArray[np.float64]
    end_to_end: NDArray[np.float64]
    loop_lag: NDArray[np.float64]
    dropped: int
    unsent: int
    """Frames that callers were too slow to take."""
    unanswered: int
    load: float
    received_per_s: float
    """Bytes of payload from one caller."""
    sent_per_s: float
    resident_start: float
    resident_end: float
    cores: float
    """Cores that the server and its coding processes kept busy."""
    caller_cores: float


class Handed:
    """When each frame of each conversation was queued and its answer handed over, on `time.monotonic`."""

    def __init__(self, kernel: Kernel) -> None:
        self.moments: dict[str, dict[int, tuple[float, float]]] = defaultdict(dict)
        self._kernel = kernel
        self._tasks: list[asyncio.Task[None]] = []

    async def follow(self) -> None:
        async for event in self._kernel.subscribe(Opened):
            self._tasks.append(asyncio.create_task(self._note(event.conversation)))

    async def _note(self, id: str) -> None:
        async for frame in self._kernel.conversations[id].subscribe(AudioFrame, size=1_000):
            now = time.monotonic()
            if frame.valid:
                self.moments[id][frame.frame] = (now - frame.lateness_s - FRAME_S, now)


@asynccontextmanager
async def served(
    processor: str, checkpoint: str, slots: int, codings: int | None
) -> AsyncIterator[tuple[Kernel, Application, str]]:
    chosen: EchoConfig | MoshiConfig = EchoConfig(conversations=slots)
    if processor == "moshi":
        chosen = MoshiConfig(model_path=checkpoint, conversations=slots)
    config = WebsocketConfig(port=0, opus_processes=codings, grace_s=0.0)
    async with (
        Kernel(Stack(processor=chosen, streaming_manager=RealtimeConfig(headroom=0.0))) as kernel,
        open_application(kernel, config) as application,
        serving(application, config) as (url, _),
    ):
        yield kernel, application, url.replace("http", "ws", 1) + "/api/chat"


async def talk(processor: str, checkpoint: str, callers: int, seconds: float, codec: str, codings: int | None) -> Run:
    """Let `callers` talk for `seconds`."""
    process = psutil.Process()
    blocks = round(seconds / FRAME_S)
    async with served(processor, checkpoint, callers, codings) as (kernel, application, url):
        handed = Handed(kernel)
        following = asyncio.create_task(handed.follow())
        lags: list[float] = []
        ticking = asyncio.create_task(_tick(lags))
        resident_start, busy, began = _resident(process), _cpu_s(process), time.monotonic()
        talking = await asyncio.create_subprocess_exec(
            *(sys.executable, str(Path(__file__).with_name("network_callers.py"))),
            *(url, str(callers), str(blocks), codec),
            stdout=asyncio.subprocess.PIPE,
        )
        noted, _ = await talking.communicate()
        taken = time.monotonic() - began
        busy = _cpu_s(process) - busy
        measures, page = kernel.measures(), await _metrics(application)
        resident_end = _resident(process)
        for task in (following, ticking):
            task.cancel()
    with np.load(io.BytesIO(noted)) as arrays:
        ids, due, sent, received = arrays["ids"], arrays["due"], arrays["sent"], arrays["received"]
        caller_cpu_s = float(arrays["cpu_s"])
    queued, over = np.full(due.shape, np.nan), np.full(due.shape, np.nan)
    delay = kernel.info.delay_frames
    for who, id in enumerate(ids.tolist()):
        for frame, (arrived, handed_over) in handed.moments[id].items():
            if frame < blocks:
                queued[who, frame], over[who, frame] = arrived, handed_over
    # The first frames have no answer: answer number k is that of frame k + delay.
    answered = np.full(due.shape, np.nan)
    answered[:, delay:] = received[:, : blocks - delay] if delay else received
    inward, outward = queued - sent, answered - over
    return Run(
        added=_known(inward + outward),
        inward=_known(inward),
        outward=_known(outward),
        end_to_end=_known(answered - due),
        loop_lag=np.array(lags),
        dropped=measures.dropped_frames,
        unsent=round(page.get("coda_websocket_dropped_frames_total", 0.0)),
        unanswered=int(np.isfinite(sent).sum() - np.isfinite(answered).sum()) - delay * callers,
        load=measures.load,
        received_per_s=page["coda_websocket_received_bytes_total"] / callers / seconds,
        sent_per_s=page["coda_websocket_sent_bytes_total"] / callers / seconds,
        resident_start=resident_start,
        resident_end=resident_end,
        cores=busy / taken,
        caller_cores=caller_cpu_s / taken,
    )


async def _tick(lags: list[float]) -> None:
    while True:
        due = time.monotonic() + _TICK_S
        await asyncio.sleep(_TICK_S)
        lags.append(time.monotonic() - due)


async def _metrics(application: Application) -> dict[str, float]:
    """Return the counters without labels of the application's own page."""
    sent: list[bytes] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        body = message.get("body")
        if isinstance(body, bytes):
            sent.append(body)

    headers = [(b"host", b"127.0.0.1")]
    scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": headers, "query_string": b""}
    await application(scope, receive, send)  # type: ignore[arg-type]
    found = re.findall(r"^(\w+) ([0-9.e+]+)$", b"".join(sent).decode(), re.MULTILINE)
    return {name: float(value) for name, value in found}


def figures(case: str, run: Run) -> list[Result]:
    """Return what one run showed."""
    results = [
        _result(case, "dropped before the model", "frames", run.dropped),
        _result(case, "dropped for slow peers", "frames", run.unsent),
        _result(case, "unanswered", "frames", run.unanswered),
        _result(case, "load", "", run.load),
    ]
    for name in ("added", "inward", "outward", "end_to_end", "loop_lag"):
        values = 1000 * getattr(run, name)
        for rank in (50, 95, 99):
            value = float(np.percentile(values, rank)) if len(values) else float("nan")
            results.append(_result(case, f"{name.replace('_', ' ')} p{rank}", "ms", value))
    return [
        *results,
        _result(case, "from one caller", "kbit/s", 8 * run.received_per_s / 1000),
        _result(case, "to one caller", "kbit/s", 8 * run.sent_per_s / 1000),
        _result(case, "resident at start", "MB", run.resident_start / 1e6),
        _result(case, "resident at end", "MB", run.resident_end / 1e6),
        _result(case, "cpu of the server", "cores", run.cores),
        _result(case, "cpu of the callers", "cores", run.caller_cores),
    ]


def reference_figures(reference: Reference) -> list[Result]:
    values = np.percentile(1000 * reference.end_to_end_s, (50, 95, 99)).tolist()
    return [
        _result("reference server, 1 caller, opus", f"end to end p{rank}", "ms", value)
        for rank, value in zip((50, 95, 99), values, strict=True)
    ]


def _known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    known: NDArray[np.float64] = values[np.isfinite(values)]
    return known


def _result(case: str, metric: str, unit: str, value: float) -> Result:
    return Result(case=case, metric=metric, unit=unit, value=float(value))


def _resident(process: psutil.Process) -> float:
    return float(sum(each.memory_info().rss for each in (process, *process.children())))


def _cpu_s(process: psutil.Process) -> float:
    """Processor time of the server, and of the processes that code for it."""
    mine = os.times()
    coding = [each.cpu_times() for each in process.children()]
    return mine.user + mine.system + sum(each.user + each.system for each in coding)


async def measure(
    processors: Sequence[str],
    checkpoint: str,
    numbers: Sequence[int],
    codecs: Sequence[str],
    seconds: float,
    codings: int | None,
    reference_s: float,
) -> list[Result]:
    """Run everything."""
    results: list[Result] = []
    for processor in processors:
        for callers in numbers:
            for codec in codecs:
                run = await talk(processor, checkpoint, callers, seconds, codec, codings)
                results += figures(f"{processor}, {callers} callers, {codec}", run)
    if reference_s:
        results += reference_figures(await reference_server(checkpoint_folder(checkpoint), reference_s))
    return results


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--processors", nargs="+", choices=("echo", "moshi"), default=["echo", "moshi"])
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 50], help="numbers to try")
    parser.add_argument("--codecs", nargs="+", choices=("opus", "pcm"), default=["opus", "pcm"])
    parser.add_argument("--seconds", type=float, default=60, help="how long they talk")
    parser.add_argument("--opus-processes", type=int, default=None, help="processes that code Opus")
    parser.add_argument(
        "--reference-seconds", type=float, default=15, help="how long a client of the reference server talks; 0: none"
    )
    checkpoint_option(parser)
    options = parser.parse_args()
    results = asyncio.run(
        measure(
            options.processors,
            options.checkpoint,
            options.callers,
            options.codecs,
            options.seconds,
            options.opus_processes,
            options.reference_seconds,
        )
    )
    report("network", results, as_json=options.json)


if __name__ == "__main__":
    main()
