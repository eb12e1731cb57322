"""What is heard in audio: by its energy, and by a speech recogniser that knows nothing of Coda."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pocketsphinx
import soxr
from numpy.typing import NDArray

__all__ = ["Recogniser", "loud_frames", "loud_stretches"]

FRAME = 1920
LOUD_DBFS = -40.0
PAUSE_FRAMES = 6
RECOGNISED_HZ = 16_000
PRONUNCIATIONS = {"moshi": "M OW SH IY", "coda": "K OW D AH"}
"""Of words that the recogniser's own dictionary may lack."""


def loud_frames(pcm: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which frames of audio ``[frames * 1920]`` are heard."""
    power = np.mean(pcm.reshape(-1, FRAME).astype(np.float64) ** 2, axis=1)
    loud: NDArray[np.bool_] = 10 * np.log10(power + 1e-12) > LOUD_DBFS
    return loud


def loud_stretches(pcm: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Return first and last frame of everything that is said without a pause of half a second."""
    stretches: list[tuple[int, int]] = []
    for frame in np.flatnonzero(loud_frames(pcm)).tolist():
        if stretches and frame - stretches[-1][1] <= PAUSE_FRAMES:
            stretches[-1] = (stretches[-1][0], frame)
        else:
            stretches.append((frame, frame))
    return stretches


class Recogniser:
    """Tells which of some sentences is said."""

    def __init__(self, sentences: Sequence[str]) -> None:
        self._sentences = [sentence.split() for sentence in sentences]
        words = {word for sentence in self._sentences for word in sentence}
        with tempfile.TemporaryDirectory() as folder:
            dictionary = Path(folder) / "words.dict"
            dictionary.write_text(_pronounced(words))
            self._decoder = pocketsphinx.Decoder(
                lm=None, dict=str(dictionary), loglevel="FATAL", samprate=RECOGNISED_HZ
            )
        self._decoder.add_jsgf_string("said", f"#JSGF V1.0; grammar said; public <s> = {' | '.join(sentences)} ;")
        self._decoder.activate_search("said")

    def sentence(self, pcm: NDArray[np.float32]) -> str:
        """Return the sentence that audio of 24 kHz is likest to; empty where it is like none of them.

        Where the recogniser does not follow it to its end, it has to be told by the half that was followed.
        """
        # It wants some quiet around speech, and a room in which quiet is not nothing.
        room = 1e-4 * np.random.default_rng(0).standard_normal(len(pcm) + 12_000)
        room[6_000:-6_000] += pcm
        heard = soxr.resample(room * 0.6 / np.abs(room).max(), 24_000, RECOGNISED_HZ)
        self._decoder.start_utt()
        self._decoder.process_raw((heard * 32_767).astype(np.int16).tobytes(), full_utt=True)
        self._decoder.end_utt()
        best = self._decoder.hyp()
        words = [] if best is None else str(best.hypstr).split()
        begun = [each for each in self._sentences if words == each[: len(words)] and 2 * len(words) >= len(each)]
        return " ".join(begun[0]) if words and len(begun) == 1 else ""


def _pronounced(words: set[str]) -> str:
    """Return the recogniser's dictionary of these words."""
    known = Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict")).read_text().splitlines()
    lines = [line for line in known if line.partition(" ")[0].partition("(")[0] in words]
    found = {line.partition(" ")[0] for line in lines}
    lines += [f"{word} {sounds}" for word, sounds in PRONUNCIATIONS.items() if word in words - found]
    assert words <= found | set(PRONUNCIATIONS), f"no pronunciation of {words - found}"
    return "\n".join(lines) + "\n"
