"""What pocketsphinx hears: the judge of the model's speech, with a model of English that it brings itself."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pocketsphinx
import soxr

from coda_demo_model.voice import SAMPLE_RATE_HZ

__all__ = ["Recogniser", "pick_sentence", "word_errors"]

_RATE_HZ: Final = 16_000
_LOUD: Final = 0.02
_ROOM: Final = 1200
_PRONUNCIATIONS: Final = {"moshi": "M OW SH IY"}
"""Words that the recogniser's dictionary does not have."""


class Recogniser:
    """Free recognition of words of a vocabulary, all equally likely and in any order."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            model, dictionary = Path(folder) / "words.arpa", Path(folder) / "words.dict"
            model.write_text(_uniform(vocabulary))
            dictionary.write_text(_dictionary(frozenset(vocabulary)))
            self._decoder = pocketsphinx.Decoder(
                lm=str(model), dict=str(dictionary), loglevel="FATAL", samprate=_RATE_HZ
            )

    def words(self, audio: npt.NDArray[np.float32]) -> list[str]:
        """Return the words that are heard in audio of 24 kHz."""
        return _heard(self._decoder, audio)


@cache
def _sentences(candidates: tuple[str, ...]) -> pocketsphinx.Decoder:
    with tempfile.TemporaryDirectory() as folder:
        dictionary = Path(folder) / "words.dict"
        dictionary.write_text(_dictionary(frozenset(word for text in candidates for word in text.split())))
        decoder = pocketsphinx.Decoder(lm=None, dict=str(dictionary), loglevel="FATAL", samprate=_RATE_HZ)
    decoder.add_jsgf_string("sentences", f"#JSGF V1.0; grammar g; public <s> = {' | '.join(candidates)} ;")
    decoder.activate_search("sentences")
    return decoder


def pick_sentence(audio: npt.NDArray[np.float32], candidates: Sequence[str]) -> str:
    """Return which of the sentences is heard in audio of 24 kHz; empty where none is."""
    return " ".join(_heard(_sentences(tuple(candidates)), audio))


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Return how many words must be inserted, left out or exchanged to make one sequence of the other."""
    row = list(range(len(heard) + 1))
    for count, word in enumerate(said, 1):
        diagonal, row[0] = row[0], count
        for place, other in enumerate(heard, 1):
            diagonal, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, diagonal + (word != other))
    return row[-1]


def _heard(decoder: pocketsphinx.Decoder, audio: npt.NDArray[np.float32]) -> list[str]:
    loud = np.flatnonzero(np.abs(audio) > _LOUD)
    if not len(loud):
        return []
    # A long silence would be heard as words.
    speech = audio[max(0, loud[0] - _ROOM) : loud[-1] + _ROOM]
    padded = np.pad(speech, _RATE_HZ // 4) + 1e-4 * np.random.Generator(np.random.PCG64(0)).standard_normal(
        len(speech) + _RATE_HZ // 2
    )
    samples = soxr.resample(padded, SAMPLE_RATE_HZ, _RATE_HZ)
    samples *= 0.6 / max(1e-6, float(np.abs(samples).max()))
    decoder.start_utt()
    decoder.process_raw((samples * 32767).astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()
    best = decoder.hyp()
    return [] if best is None else str(best.hypstr).split()


@cache
def _dictionary(words: frozenset[str]) -> str:
    """Return the lines of the recogniser's dictionary, and of ours, that pronounce these words."""
    path = Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict"))
    lines = [line for line in path.read_text().splitlines() if line.split("(")[0].split(" ")[0] in words]
    lines += [f"{word} {phones}" for word, phones in _PRONUNCIATIONS.items() if word in words]
    missing = words - {line.split()[0] for line in lines}
    if missing:
        raise ValueError(f"no pronunciation is known for {', '.join(sorted(missing))}: add them to _PRONUNCIATIONS")
    return "\n".join(lines) + "\n"


def _uniform(vocabulary: Sequence[str]) -> str:
    """Return an ARPA model in which all words are equally likely."""
    weight = -math.log10(len(vocabulary) + 1)
    grams = [f"{weight:.4f} {word}" for word in vocabulary]
    header = f"\\data\\\nngram 1={len(vocabulary) + 2}\n\n\\1-grams:\n-99 <s>\n{weight:.4f} </s>\n"
    return header + "\n".join(grams) + "\n\n\\end\\\n"
