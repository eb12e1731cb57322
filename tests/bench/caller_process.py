"""The callers' own process: sends every caller's blocks when they are due, and notes when the answers come.

Run by `callers.Callers`, to which a socket leads. Both ways a message is a header (which caller, which block or
answer) and 80 ms of float32. What was noted goes to stdout as an ``npz`` once the socket is closed. All times are on
`time.monotonic`, which is one clock for the whole machine.

    python tests/bench/caller_process.py SOCKET_FD CALLERS BLOCKS
"""

from __future__ import annotations

import io
import socket
import struct
import sys
import threading
import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coda_core import FRAME_S, FRAME_SAMPLES

__all__ = ["HEADER", "MESSAGE_BYTES"]

HEADER: Final = struct.Struct("<II")
MESSAGE_BYTES: Final = HEADER.size + 4 * FRAME_SAMPLES

_VOICES: Final = 64
"""Different blocks of sound that callers draw from, so that making sound costs nothing while they talk."""


def main() -> None:
    link = socket.socket(fileno=int(sys.argv[1]))
    callers, blocks = int(sys.argv[2]), int(sys.argv[3])
    rng = np.random.default_rng(0)
    phases = np.sort(rng.uniform(0, FRAME_S, callers))
    due = time.monotonic() + 0.1 + phases[:, None] + FRAME_S * np.arange(blocks)
    sent, received = np.full(due.shape, np.nan), np.full(due.shape, np.nan)
    voice = rng.uniform(-0.3, 0.3, (_VOICES, FRAME_SAMPLES)).astype(np.float32)
    begun_s = time.process_time()
    listening = threading.Thread(target=listen, args=(link, received))
    listening.start()
    talk(link, due, sent, voice)
    listening.join()
    noted = io.BytesIO()
    np.savez(noted, due=due, sent=sent, received=received, cpu_s=time.process_time() - begun_s)
    sys.stdout.buffer.write(noted.getvalue())


def talk(link: socket.socket, due: NDArray[np.float64], sent: NDArray[np.float64], voice: NDArray[np.float32]) -> None:
    """Send every block when it is due, until there are no more or nobody listens."""
    sound = [block.tobytes() for block in voice]
    try:
        for index in range(due.shape[1]):
            for who, when in enumerate(due[:, index].tolist()):
                time.sleep(max(0.0, when - time.monotonic()))
                sent[who, index] = time.monotonic()
                link.sendall(HEADER.pack(who, index) + sound[(7 * who + index) % len(sound)])
        link.shutdown(socket.SHUT_WR)
    except OSError:
        return


def listen(link: socket.socket, received: NDArray[np.float64]) -> None:
    """Note when each answer has come, until the other side closes."""
    message = memoryview(bytearray(MESSAGE_BYTES))
    while True:
        filled = 0
        while filled < MESSAGE_BYTES:
            try:
                got = link.recv_into(message[filled:])
            except OSError:
                got = 0
            if not got:
                return
            filled += got
        who, index = HEADER.unpack_from(message)
        received[who, index] = time.monotonic()


if __name__ == "__main__":
    main()
