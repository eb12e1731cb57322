"""Stage `codes`: everything that is heard and said, as codes of the frozen codec.

Encoded once, as the exported codec at half precision does it, behind enough silence for codes to be steady.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt
import torch
from moshi.models import MimiModel

from coda_demo_model.background import COLOURS, music, noise
from coda_demo_model.blockwise import encode_audio
from coda_demo_model.callers import Call
from coda_demo_model.corpus import Corpus
from coda_demo_model.room import background, through_room
from coda_demo_model.script import load_script
from coda_demo_model.sentences import draw_words
from coda_demo_model.voice import FRAME, SAMPLE_RATE_HZ, say

__all__ = ["Codes", "CodesSize", "EncodedCall", "EncodedSentence", "codes_are_encoded", "encode_all", "load_codes"]

_FILE: Final = "codes.pickle"
_LEAD: Final = 9
"""Silent frames before anything that is encoded."""
TAIL: Final = 6
"""Silent frames after it, which still differ from lasting silence."""
_BATCH_FRAMES: Final = 240
_LABELS: Final = 4
_KEPT_LEAD: Final = 2
_Codes = npt.NDArray[np.int16]


@attrs.frozen(kw_only=True)
class CodesSize:
    """How much to encode."""

    drawn_sentences: int = 2400
    """In the model's voice."""
    rooms_of_a_call: int = 3
    """How many times each call is heard, each time through another room."""
    background_s: float = 3600.0


@attrs.frozen(eq=False)
class EncodedSentence:
    """A sentence of the model's voice, and `TAIL` frames of the silence after it."""

    text: str
    codes: _Codes
    """[codebooks, frames + tail]."""
    starts: tuple[int, ...]
    """The frame of each word."""
    frames: int


@attrs.frozen(eq=False)
class EncodedCall:
    """What a caller said, as it was heard, with `_KEPT_LEAD` frames before it and `TAIL` after."""

    intent: str
    codes: _Codes
    """[codebooks, frames]."""
    begin: float
    """Where in `codes`, in frames, the caller starts to speak."""
    end: float
    """Where the caller has stopped."""
    words: tuple[tuple[float, str], ...]
    """Where each word begins."""


@attrs.frozen(eq=False)
class Codes:
    """What the decoder and the language model learn from."""

    silence: _Codes
    """[codebooks]: the code of lasting silence."""
    replies: dict[str, EncodedSentence]
    """By intent."""
    drawn: tuple[EncodedSentence, ...]
    calls: tuple[EncodedCall, ...]
    """With an intent."""
    chatter: tuple[EncodedCall, ...]
    """Without."""
    backgrounds: tuple[_Codes, ...]
    """[codebooks, frames] each."""


def encode_all(codec: MimiModel, corpus: Corpus, folder: Path, size: CodesSize, seed: int) -> Codes:
    """Encode the corpus and drawn sentences, and keep the codes in `folder`."""
    codec.eval()
    bits = np.random.default_rng((seed, 4))
    intents = load_script().intents
    texts = [intent.reply for intent in intents] + [draw_words(bits) for _ in range(size.drawn_sentences)]
    own = list(_sentences(codec, texts))
    codes = Codes(
        silence=_encode(codec, [np.zeros(40 * FRAME, np.float32)])[0][:, -1],
        replies={intent.name: sentence for intent, sentence in zip(intents, own, strict=False)},
        drawn=tuple(own[len(intents) :]),
        calls=tuple(_calls(codec, corpus.calls, size.rooms_of_a_call, bits)),
        chatter=tuple(_calls(codec, corpus.drawn, size.rooms_of_a_call, bits)),
        backgrounds=tuple(_backgrounds(codec, size.background_s, bits)),
    )
    folder.mkdir(parents=True, exist_ok=True)
    making = folder / f"{_FILE}.part"
    with making.open("wb") as file:
        pickle.dump(codes, file)
    making.replace(folder / _FILE)
    return codes


def codes_are_encoded(folder: Path) -> bool:
    """Return whether `encode_all` came to its end in `folder`."""
    return (folder / _FILE).exists()


def load_codes(folder: Path) -> Codes:
    """Return what `encode_all` kept in `folder`; raises `FileNotFoundError` where it kept nothing."""
    with (folder / _FILE).open("rb") as file:
        codes = pickle.load(file)
    assert isinstance(codes, Codes)
    return codes


def _sentences(codec: MimiModel, texts: Sequence[str]) -> Iterator[EncodedSentence]:
    spoken = [say(text) for text in texts]
    padded = [np.pad(sentence.audio, (_LEAD * FRAME, TAIL * FRAME)) for sentence in spoken]
    for sentence, codes in zip(spoken, _encode(codec, padded), strict=True):
        yield EncodedSentence(sentence.text, codes[:, _LEAD:], sentence.starts, sentence.frames)


def _calls(codec: MimiModel, calls: Sequence[Call], rooms: int, bits: np.random.Generator) -> Iterator[EncodedCall]:
    chosen = [call for call in calls for _ in range(rooms)]
    offsets = bits.integers(0, FRAME, len(chosen))
    # Audio is made as it is needed: all of it at once would take gigabytes.
    makers = [_heard(call, int(offset), bits) for call, offset in zip(chosen, offsets, strict=True)]
    for call, offset, codes in zip(chosen, offsets, _encode(codec, makers), strict=True):
        begin = _KEPT_LEAD + float(offset) / FRAME
        words = tuple((begin + label / _LABELS, word) for label, word in call.words)
        kept = codes[:, _LEAD - _KEPT_LEAD :]
        yield EncodedCall(call.intent, kept, begin, begin + len(call.audio) / FRAME, words)


def _heard(call: Call, offset: int, bits: np.random.Generator) -> Callable[[], npt.NDArray[np.float32]]:
    seed = int(bits.integers(1 << 62))

    def make() -> npt.NDArray[np.float32]:
        own = np.random.default_rng(seed)
        audio = np.pad(call.audio.astype(np.float32) / np.float32(32767), (_LEAD * FRAME + offset, TAIL * FRAME))
        audio = np.pad(audio, (0, -len(audio) % FRAME))
        heard = through_room(audio, own)
        loudest = 0.02 if own.random() < 0.75 else 0.15 * float(np.abs(heard).max())
        return heard + background(len(heard), own, loudest=max(loudest, 1e-4))

    return make


def _backgrounds(codec: MimiModel, seconds: float, bits: np.random.Generator) -> Iterator[_Codes]:
    """Return noise of every colour and twice as much music, up to rms 0.16, after the codec has got used to it."""
    piece_s = 12
    count = max(3, round(seconds / piece_s))
    sounds = [_background(number, piece_s * SAMPLE_RATE_HZ, bits) for number in range(count)]
    yield from (codes[:, _LEAD:] for codes in _encode(codec, sounds))


def _background(number: int, samples: int, bits: np.random.Generator) -> npt.NDArray[np.float32]:
    colours = tuple(COLOURS)
    if number % 3:
        # Music is most like speech, and loud music most of all.
        return music(samples, 10 ** bits.uniform(-2.3, -0.8), bits)
    return noise(samples, colours[number // 3 % len(colours)], 10 ** bits.uniform(-4.5, -0.8), bits)


@torch.no_grad()
def _encode(
    codec: MimiModel, sounds: Sequence[npt.NDArray[np.float32] | Callable[[], npt.NDArray[np.float32]]]
) -> list[_Codes]:
    """Return the codes of each sound, encoded several at a time."""
    found: list[_Codes] = []
    batch: list[npt.NDArray[np.float32]] = []
    for place, sound in enumerate(sounds):
        batch.append(sound() if callable(sound) else sound)
        longest = max(len(audio) for audio in batch)
        if place + 1 < len(sounds) and longest * (len(batch) + 1) < _BATCH_FRAMES * FRAME:
            continue
        stacked = np.stack([np.pad(audio, (0, longest - len(audio))) for audio in batch])
        (latent,) = codec.encoder_transformer(encode_audio(codec, torch.from_numpy(stacked)[:, None]))
        codes = codec.quantizer.encode(codec._to_framerate(latent)).numpy().astype(np.int16)
        # A copy, so that the rest of the batch can be forgotten.
        found += [row[:, : len(audio) // FRAME].copy() for row, audio in zip(codes, batch, strict=True)]
        batch = []
    return found
