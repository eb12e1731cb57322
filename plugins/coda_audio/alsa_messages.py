"""What ALSA would write to the terminal, in the log instead: it knows no other place."""

from __future__ import annotations

import ctypes
import logging
from contextlib import suppress
from typing import Any, Final

__all__ = ["log_alsa_messages"]

_logger: Final = logging.getLogger("coda.sound")
_HANDLER: Final = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p)
"""``snd_lib_error_handler_t``: file, line, function, error, format. What the format is filled with is not passed on."""


def _log(file: bytes, line: int, function: bytes, error: int, format: bytes) -> None:
    del file, line, error
    # Not through the logger's own formatting: this text has percent signs that nothing fills.
    _logger.info("ALSA, %s: %s", _text(function), _text(format))


def _text(words: bytes | None) -> str:
    return (words or b"").decode("utf-8", "replace").strip()


_handler: Final[Any] = _HANDLER(_log)
"""Kept for as long as ALSA may call it."""


def log_alsa_messages() -> None:
    """Take over ALSA's messages, for the whole process. Does nothing where there is no ALSA."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libasound.so.2").snd_lib_error_set_handler(_handler)
