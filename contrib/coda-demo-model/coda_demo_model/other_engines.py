"""Callers of other engines than espeak-ng, whose speech comes from recordings: SVOX Pico and Festival."""

from __future__ import annotations

import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import soundfile

__all__ = ["FESTIVAL_VOICES", "PICO_VOICES", "speak_by_festival", "speak_by_pico"]

PICO_VOICES: Final = ("en-US", "en-GB")
FESTIVAL_VOICES: Final = ("ked_diphone", "kal_diphone")
_PICO_RATE_HZ: Final = 16_000


def speak_by_pico(text: str, voice: str, *, speed: float, pitch: float) -> tuple[npt.NDArray[np.float32], int]:
    """Return `text` as SVOX Pico says it, [n] and its rate in Hz; speed and pitch are factors."""
    import py_nanotts

    raw = py_nanotts.NanoTTS().speak(text, voice=voice, speed=speed, pitch=pitch)
    return np.frombuffer(raw, "<i2").astype(np.float32) / np.float32(32768), _PICO_RATE_HZ


def speak_by_festival(text: str, voice: str, *, stretch: float) -> tuple[npt.NDArray[np.float32], int]:
    """Return `text` as Festival says it, [n] and its rate in Hz; with `stretch` above 1 it speaks slower.

    Raises `RuntimeError` where Festival or the voice is not installed.
    """
    return _festival().speak(text, voice, stretch)


class _Festival:
    """One Festival that lives as long as this process, for it starts slowly."""

    def __init__(self) -> None:
        try:
            self._process = subprocess.Popen(
                ["festival", "--pipe"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        except FileNotFoundError as error:
            raise RuntimeError(
                "festival is not there: install the Debian packages festival, festvox-kdlpc16k and festvox-kallpc16k"
            ) from error

    def speak(self, text: str, voice: str, stretch: float) -> tuple[npt.NDArray[np.float32], int]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "call.wav"
            told = self._ask(f"(voice_{voice})")
            if "ERROR" in told:
                raise RuntimeError(
                    f"festival has no voice {voice}: install festvox-kdlpc16k and festvox-kallpc16k ({told})"
                )
            self._ask(f"(Parameter.set 'Duration_Stretch {stretch:.3f})")
            told = self._ask(f'(utt.save.wave (SynthText "{text}") "{path}" \'riff)')
            if not path.exists():
                raise RuntimeError(f"festival did not say {text!r}: {told}")
            sound, rate = soundfile.read(path, dtype="float32")
        return sound, int(rate)

    def _ask(self, command: str) -> str:
        """Send a command and return what was printed until it was done."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f'{command}\n(format t "\\ndone\\n")\n(fflush nil)\n')
        self._process.stdin.flush()
        told: list[str] = []
        for line in self._process.stdout:
            if line.strip() == "done":
                return "".join(told).strip()
            told.append(line)
        raise RuntimeError(f"festival ended: {''.join(told)}")


@cache
def _festival() -> _Festival:
    return _Festival()
