"""Speech of espeak-ng with the times of its words and phonemes, through the C library.

What the library says depends on what it has said before: of a hundred words said twice, in another order, a few came
out equal, and most some 20 ms longer or shorter. So a helper process, in which it has said nothing, forks for every
text: the same text sounds the same in every process and at every place.
"""

from __future__ import annotations

import atexit
import ctypes
import itertools
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

__all__ = ["SpeechEvent", "SpokenText", "speak", "variants"]

_SYNCHRONOUS: Final = 2
_PHONEME_EVENTS: Final = 0x0001
_DO_NOT_EXIT: Final = 0x8000
_WORD: Final = 1
_PHONEME: Final = 7
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_UTF8_WITH_PHONEMES: Final = 0x0101


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_void_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@attrs.frozen
class SpeechEvent:
    """A word or phoneme that begins."""

    second: float
    text: str


@attrs.frozen(eq=False)
class SpokenText:
    """What espeak-ng made of a text."""

    audio: npt.NDArray[np.float32]
    """[n], in -1 to 1."""
    sample_rate_hz: int
    words: tuple[SpeechEvent, ...]
    """Several words that are spoken as one, such as "on the", are one event with the text of all."""
    phonemes: tuple[SpeechEvent, ...]
    """espeak's mnemonics; "_" is silence."""


class _Library:
    """The C library, which is one engine for the whole process."""

    def __init__(self) -> None:
        try:
            self._lib = ctypes.CDLL("libespeak-ng.so.1")
        except OSError as error:
            raise RuntimeError("libespeak-ng.so.1 is not there: install the Debian package espeak-ng") from error
        self.sample_rate_hz = int(self._lib.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS | _DO_NOT_EXIT))
        self._blocks: list[npt.NDArray[np.int16]] = []
        self._events: list[tuple[int, int, int, int, str]] = []
        # The library keeps only the address.
        self._callback = _Callback(self._receive)
        self._lib.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self._blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        # The list ends with an event of type 0.
        for event in itertools.takewhile(lambda event: event.type, map(events.__getitem__, itertools.count())):
            name = bytes(event.id.string).split(b"\0")[0].decode(errors="ignore") if event.type == _PHONEME else ""
            self._events.append((event.type, event.sample, event.text_position, event.length, name))
        return 0

    def data_folder(self) -> Path:
        folder = ctypes.c_char_p()
        self._lib.espeak_Info.restype = ctypes.c_char_p
        self._lib.espeak_Info(ctypes.byref(folder))
        return Path((folder.value or b"").decode())

    def speak(self, text: str, voice: str, settings: dict[int, int]) -> SpokenText:
        if self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice!r}")
        for parameter, value in settings.items():
            self._lib.espeak_SetParameter(parameter, value, 0)
        self._blocks.clear()
        self._events.clear()
        raw = text.encode()
        size = ctypes.c_size_t(len(raw) + 1)
        self._lib.espeak_Synth(raw, size, ctypes.c_uint(0), 0, ctypes.c_uint(0), _UTF8_WITH_PHONEMES, None, None)
        self._lib.espeak_Synchronize()
        audio = np.concatenate([np.zeros(0, np.int16), *self._blocks]).astype(np.float32) / np.float32(32768)
        rate = self.sample_rate_hz
        words = (
            SpeechEvent(sample / rate, text[position - 1 : position - 1 + length])
            for kind, sample, position, length, _ in self._events
            if kind == _WORD
        )
        phonemes = (SpeechEvent(sample / rate, name) for kind, sample, *_, name in self._events if kind == _PHONEME)
        return SpokenText(audio, rate, tuple(word for word in words if word.text.strip()), tuple(phonemes))


@cache
def _helper() -> subprocess.Popen[bytes]:
    helper = subprocess.Popen(
        [sys.executable, "-m", "coda_demo_model.espeak"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    # It ends with its standard input.
    atexit.register(helper.communicate)
    return helper


def _ask(*request: object) -> Any:
    """Return what a method of a fresh library returns, or raise what it raises."""
    helper = _helper()
    assert helper.stdin is not None
    assert helper.stdout is not None
    pickle.dump(request, helper.stdin)
    helper.stdin.flush()
    answer = pickle.load(helper.stdout)
    if isinstance(answer, Exception):
        raise answer
    return answer


def _answer_requests() -> None:
    """Be the helper, until its standard input ends."""
    # Ctrl-C is the asking process's to answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    library: _Library | Exception
    try:
        library = _Library()
    except RuntimeError as error:
        library = error
    while True:
        try:
            method, *arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        child = os.fork()
        if not child:
            _send(_answer(library, method, arguments))
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            _send(RuntimeError(f"espeak-ng crashed at {arguments}"))


def _answer(library: _Library | Exception, method: str, arguments: Sequence[Any]) -> object:
    if isinstance(library, Exception):
        return library
    try:
        return getattr(library, method)(*arguments)
    except ValueError as error:
        return error


def _send(answer: object) -> None:
    pickle.dump(answer, sys.stdout.buffer)
    sys.stdout.buffer.flush()


def speak(text: str, voice: str, *, words_per_minute: int, pitch: int, pitch_range: int) -> SpokenText:
    """Return `text` as spoken; `voice` is a language and perhaps a variant, such as ``en-us+f3``.

    `pitch` and `pitch_range` are 0 to 100. ``[[...]]`` in the text holds phonemes.
    Raises `ValueError` for a language that espeak-ng does not know (an unknown variant it ignores), `RuntimeError`
    where it is not installed.
    """
    settings = {_RATE: words_per_minute, _VOLUME: 100, _PITCH: pitch, _RANGE: pitch_range}
    spoken: SpokenText = _ask("speak", text, voice, settings)
    return spoken


def variants() -> tuple[str, ...]:
    """Return the variants of voices that the installed espeak-ng has, sorted."""
    folder: Path = _ask("data_folder")
    return tuple(sorted(path.name for path in (folder / "voices" / "!v").iterdir()))


if __name__ == "__main__":
    # Answers are read by the module under its own name.
    from coda_demo_model import espeak

    espeak._answer_requests()
