"""The system's libopus, where there is one: for a voice its encoder takes a fifth of the time of `sphn`'s or less.

`sphn` codes everything as well as it can, which is what one caller wants and what fifty cannot have. Here the encoder
is set to its low-delay mode, which leaves out the search for the best of two codecs, at a higher bit rate.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from coda_websocket.ogg import OggOpus

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["BIT_RATE", "LibopusWriter", "libopus", "libopus_version"]

BIT_RATE: Final = 40_000
"""Bits per second while somebody speaks; silence takes a tenth and less."""
_RATE_HZ: Final = 24_000
_PACKET: Final = 960
"""Samples of a packet: 40 ms."""
_RESTRICTED_LOWDELAY: Final = 2051
_SET_BITRATE: Final = 4002
_SET_COMPLEXITY: Final = 4010
_GET_LOOKAHEAD: Final = 4027
_MOST_BYTES: Final = 1275 * 3
_NO_DENORMALS: Final = 1e-9
"""Far below what 16 bits can hold: without it, the filters' state in silence decays to numbers that processors are
slow with, by a factor of ten."""
_NAMES: Final = {"linux": "libopus.so.0", "darwin": "libopus.0.dylib", "win32": "opus.dll"}


@cache
def libopus() -> Any:
    """Return the library; None where this system has none."""
    for name in (_NAMES.get(sys.platform), ctypes.util.find_library("opus")):
        try:
            library = ctypes.CDLL(name) if name else None
        except OSError:
            continue
        if library is not None:
            return _declared(library)
    return None


def libopus_version() -> str | None:
    """Return what the library calls itself, such as ``libopus 1.3.1``; None where there is none."""
    library = libopus()
    return library.opus_get_version_string().decode("ascii", "replace") if library is not None else None


class LibopusWriter:
    """PCM in, Ogg out, as `sphn.OpusStreamWriter`. Raises OSError where there is no libopus."""

    def __init__(self, complexity: int) -> None:
        """`complexity` is libopus's, 0 to 10."""
        self._library = libopus()
        if self._library is None:
            raise OSError("there is no libopus")
        failed = ctypes.c_int()
        self._encoder = self._library.opus_encoder_create(_RATE_HZ, 1, _RESTRICTED_LOWDELAY, ctypes.byref(failed))
        if not self._encoder:
            raise OSError(f"libopus makes no encoder: {self._reason(failed.value)}")
        self._set(_SET_BITRATE, BIT_RATE)
        self._complexity = complexity
        self._set(_SET_COMPLEXITY, complexity)
        lookahead = ctypes.c_int()
        self._do(self._library.opus_encoder_ctl(self._encoder, _GET_LOOKAHEAD, ctypes.byref(lookahead)))
        self._packet = ctypes.create_string_buffer(_MOST_BYTES)
        self._ogg = OggOpus(_RATE_HZ, lookahead.value)
        self._head = self._ogg.head()

    @property
    def complexity(self) -> int:
        return self._complexity

    @complexity.setter
    def complexity(self, value: int) -> None:
        if value != self._complexity:
            self._complexity = value
            self._set(_SET_COMPLEXITY, value)

    def append_pcm(self, pcm: NDArray[np.float32]) -> bytes:
        """Return the Ogg bytes of mono PCM at 24 kHz, ``[samples]``, a whole number of 20 ms; none are held back."""
        import numpy as np

        # libopus leaves what to make of no numbers to its caller.
        whole = pcm if np.isfinite(pcm).all() else np.nan_to_num(pcm, nan=0.0, posinf=1.0, neginf=-1.0)
        samples = np.clip(whole + np.float32(_NO_DENORMALS), -1.0, 1.0, dtype=np.float32)
        packets: list[bytes] = []
        for start in range(0, len(samples), _PACKET):
            part = samples[start : start + _PACKET]
            size = self._library.opus_encode_float(
                self._encoder, part.ctypes.data, len(part), self._packet, _MOST_BYTES
            )
            self._do(size)
            packets.append(ctypes.string_at(self._packet, size))
        head, self._head = self._head, b""
        return head + self._ogg.page(packets, len(samples)) if packets else head

    def _set(self, what: int, value: int) -> None:
        self._do(self._library.opus_encoder_ctl(self._encoder, what, ctypes.c_int(value)))

    def _do(self, code: int) -> None:
        if code < 0:
            raise ValueError(f"libopus: {self._reason(code)}")

    def _reason(self, code: int) -> str:
        text: bytes = self._library.opus_strerror(code)
        return text.decode("ascii", "replace")

    def __del__(self) -> None:
        encoder, self._encoder = getattr(self, "_encoder", None), None
        if encoder:
            self._library.opus_encoder_destroy(encoder)


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    """Say what the functions take. What follows the arguments of ``opus_encoder_ctl`` is passed by its own type."""
    number, pointer = ctypes.c_int, ctypes.c_void_p
    library.opus_get_version_string.restype = ctypes.c_char_p
    library.opus_strerror.argtypes, library.opus_strerror.restype = [number], ctypes.c_char_p
    library.opus_encoder_create.argtypes = [ctypes.c_int32, number, number, pointer]
    library.opus_encoder_create.restype = pointer
    library.opus_encoder_destroy.argtypes, library.opus_encoder_destroy.restype = [pointer], None
    library.opus_encoder_ctl.argtypes = [pointer, number]
    library.opus_encode_float.argtypes = [pointer, pointer, number, pointer, ctypes.c_int32]
    library.opus_encode_float.restype = ctypes.c_int32
    return library
