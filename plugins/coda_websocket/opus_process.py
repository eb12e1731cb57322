"""Codes Opus, in a process of its own: ``python -m coda_websocket.opus_process SOCKET_FD``.

In the server's process, coding would wait for the interpreter's lock and hold it, at the expense of the model. This
process imports little: it starts with the server, and there may be several.

Each request is a header (length of the payload, number of the stream, what to do) and a payload; each is answered, in
order, by a header (length, whether it went well) and a payload: bytes of Ogg, float32 samples, or what went wrong.
"""

from __future__ import annotations

import io
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from coda_websocket.libopus import LibopusWriter, libopus

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ANSWER", "DECODE", "ENCODE", "FORGET", "MOST_SECONDS", "READY", "REQUEST", "Coder", "Effort"]

REQUEST: Final = struct.Struct("<IIB")
ANSWER: Final = struct.Struct("<I?")
ENCODE: Final = 0
"""Float32 samples at 24 kHz, a whole number of 20 ms, into Ogg."""
DECODE: Final = 1
"""Any bytes of an Ogg stream into the float32 samples that they complete."""
FORGET: Final = 2
"""The stream is over."""

READY: Final = b"R"
"""What the process says first, when it is ready for requests."""

MOST_SECONDS: Final = 60.0
"""Audio that one request may hold: a few bytes of Opus can stand for minutes."""
_RATE_HZ: Final = 24_000
_NOBODY: Final = -1
"""A number that no stream has."""
_SLICE_BYTES: Final = 1024
"""Decoded at once: at most some pages, of 30 s each."""
_SILENT_BYTES: Final = 262_144
"""A page has 64 KiB at most: so many bytes that complete no audio are a packet made to fill the memory."""


class Effort:
    """How hard the encoder tries: less where coding takes most of the time that there is."""

    BEST: Final = 5
    """libopus's complexity; what it does beyond costs half as much again, for little."""
    LEAST: Final = 0
    """Takes a third of the time, and sounds rougher."""
    _BUSY: Final = 0.6
    _QUIET: Final = 0.25
    _WINDOW_S: Final = 1.0

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.complexity = self.BEST
        self._now = now
        self._began = now()
        self._worked_s = 0.0

    def worked(self, seconds: float) -> None:
        """Take note of time that went into a request, waiting for a processor included."""
        self._worked_s += seconds
        taken = self._now() - self._began
        if taken >= self._WINDOW_S:
            share = self._worked_s / taken
            if share > self._BUSY:
                self.complexity = self.LEAST
            elif share < self._QUIET:
                self.complexity = self.BEST
            self._began, self._worked_s = self._now(), 0.0


class Coder:
    """The streams of one process."""

    def __init__(self, effort: Effort | None = None) -> None:
        self._effort = effort if effort is not None else Effort()
        self._writers: dict[int, Any] = {}
        self._readers: dict[int, Any] = {}
        self._silent_bytes: dict[int, int] = {}

    def encode(self, stream: int, payload: bytes) -> bytes:
        import numpy as np

        writer = self._writers.get(stream)
        if writer is None:
            writer = self._writers[stream] = self._writer()
        if isinstance(writer, LibopusWriter):
            writer.complexity = self._effort.complexity
        coded: bytes = writer.append_pcm(np.frombuffer(payload, "<f4"))
        return coded

    def _writer(self) -> Any:
        if libopus() is not None:
            return LibopusWriter(self._effort.complexity)
        import sphn

        return sphn.OpusStreamWriter(_RATE_HZ)

    def decode(self, stream: int, payload: bytes) -> bytes:
        """Raises ValueError where this is no Ogg stream of Opus, or too much of it."""
        import sphn

        if stream not in self._readers:
            self._readers[stream] = sphn.OpusStreamReader(_RATE_HZ)
        reader = self._readers[stream]
        pieces: list[NDArray[np.float32]] = []
        samples = 0
        for start in range(0, len(payload), _SLICE_BYTES):
            piece = payload[start : start + _SLICE_BYTES]
            pcm = reader.append_bytes(piece)
            silent = self._silent_bytes.get(stream, 0) + len(piece)
            self._silent_bytes[stream] = 0 if len(pcm) else silent
            samples += len(pcm)
            if silent > _SILENT_BYTES:
                raise ValueError(f"{silent} bytes without any audio")
            if samples > MOST_SECONDS * _RATE_HZ:
                raise ValueError(f"more than {MOST_SECONDS:.0f} s of audio in one message")
            if len(pcm):
                pieces.append(pcm)
        return b"".join(piece.astype("<f4", copy=False).tobytes() for piece in pieces)

    def warm_up(self) -> None:
        """Load what codes, so that no caller waits for it."""
        import numpy as np

        silence = np.zeros(_RATE_HZ // 50, np.float32)
        self.decode(_NOBODY, self.encode(_NOBODY, silence.tobytes()))
        self.forget(_NOBODY)

    def forget(self, stream: int) -> None:
        self._writers.pop(stream, None)
        self._readers.pop(stream, None)
        self._silent_bytes.pop(stream, None)

    def answer(self, stream: int, what: int, payload: bytes) -> tuple[bool, bytes]:
        """Do one request. A stream that failed is to be forgotten: nothing more can be said of it."""
        try:
            if what == ENCODE:
                return True, self.encode(stream, payload)
            if what == DECODE:
                return True, self.decode(stream, payload)
            self.forget(stream)
            return True, b""
        # A defect in native code comes as an exception that is no Exception: it concerns this stream alone.
        except BaseException as error:
            return False, (" ".join(str(error).split()) or type(error).__name__).encode()[:200]


def main() -> None:
    # Ctrl-C goes to every process of a terminal: this one ends when its server has closed the socket.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    link = socket.socket(fileno=int(sys.argv[1]))
    effort = Effort()
    coder = Coder(effort)
    coder.warm_up()
    link.sendall(READY)
    requests = io.BufferedReader(socket.SocketIO(link, "r"), 1 << 17)
    try:
        while header := _exactly(requests, REQUEST.size):
            length, stream, what = REQUEST.unpack(header)
            payload = _exactly(requests, length)
            began = time.monotonic()
            well, payload = coder.answer(stream, what, payload)
            link.sendall(ANSWER.pack(len(payload), well) + payload)
            effort.worked(time.monotonic() - began)
    except OSError:
        return


def _exactly(requests: io.BufferedIOBase, size: int) -> bytes:
    """Return `size` bytes; none, or fewer, where the other side has closed."""
    return requests.read(size) if size else b""


if __name__ == "__main__":
    main()
