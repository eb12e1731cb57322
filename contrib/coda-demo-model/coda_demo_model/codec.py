"""Stage `codec`: the encoder and the quantiser, after which codes are never changed again.

No decoder is trained here, which makes a step four times as fast and lets the decoder and the language model learn
side by side afterwards. What codes must hold is asked for directly:

- of the model's voice: the log-mel spectra of each frame and its number of pulses, which are all that a frame of this
  voice is made of;
- of callers: the phoneme of every 20 ms, from the first codebook and from all of them, and the spectra of their voice
  as it was before the room changed it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from moshi.models import MimiModel, loaders
from moshi.quantization.core_vq import EuclideanCodebook

from coda_demo_model.architecture import CODEBOOKS, FRAME_RATE_HZ, MIMI
from coda_demo_model.blockwise import encode_audio
from coda_demo_model.callers import Call
from coda_demo_model.corpus import Corpus
from coda_demo_model.optimizer import Muon
from coda_demo_model.room import background, through_room
from coda_demo_model.sentences import drawn_sentence
from coda_demo_model.spectra import MEL_BANDS, MEL_HOPS, log_mel
from coda_demo_model.training import Training, learning_rate
from coda_demo_model.voice import FRAME

__all__ = ["Batch", "Heads", "new_codec", "train_codec"]

_FRAMES: Final = 20
_OWN: Final = 5
_CALLERS: Final = 8
_LABELS: Final = 4
"""Phonemes of a frame."""
_LATER: Final = -1
"""In 20 ms: espeak-ng's events are 40 ms late, and a phoneme is asked for 20 ms after it sounded, as the encoder knows
no future."""
_UNLABELLED: Final = -100
_PULSES: Final = 13
_UNQUANTISED_STEPS: Final = 250
_LATENT: Final = 128


def new_codec() -> MimiModel:
    """Return Mimi with fresh weights."""
    return loaders.get_mimi(None, dict(MIMI), num_codebooks=CODEBOOKS)


class Heads(torch.nn.Module):
    """What reads the codes while they are learnt, and is thrown away afterwards."""

    def __init__(self, phonemes: int) -> None:
        super().__init__()
        self.phonemes_of_first = torch.nn.Linear(_LATENT, _LABELS * phonemes)
        self.phonemes_of_all = torch.nn.Linear(_LATENT, _LABELS * phonemes)
        self.spectra = torch.nn.Sequential(
            torch.nn.Linear(_LATENT, 256), torch.nn.GELU(), torch.nn.Linear(256, MEL_HOPS * MEL_BANDS)
        )
        self.pulses = torch.nn.Linear(_LATENT, _PULSES)


@attrs.frozen(eq=False)
class Batch:
    """Crops of 1.6 seconds, the model's voice first."""

    heard: torch.Tensor
    """[B, 1, n] audio that goes in."""
    clean: torch.Tensor
    """[B, n] audio whose spectra are asked for."""
    phonemes: torch.Tensor
    """[B, frames, 4], or -100 where unknown."""
    pulses: torch.Tensor
    """[own, frames]."""


class Batches:
    """Draws batches; the same step draws the same batch."""

    def __init__(self, corpus: Corpus, seed: int) -> None:
        self._calls: Sequence[Call] = (*corpus.calls, *corpus.drawn)
        self._seed = seed
        names = sorted({name for call in self._calls for _, name in call.phonemes})
        self._indices = {name: index for index, name in enumerate(names)}

    @property
    def phonemes(self) -> int:
        return len(self._indices)

    def draw(self, step: int) -> Batch:
        bits = np.random.default_rng((self._seed, 3, step))
        own = [self._own(bits) for _ in range(_OWN)]
        callers = [self._caller(bits) for _ in range(_CALLERS)]
        unlabelled = np.full((_OWN, _FRAMES * _LABELS), _UNLABELLED)
        labels = np.concatenate([unlabelled, np.stack([label for _, _, label in callers])])
        return Batch(
            heard=torch.from_numpy(np.stack([audio for audio, _ in own] + [heard for heard, _, _ in callers]))[:, None],
            clean=torch.from_numpy(np.stack([audio for audio, _ in own] + [clean for _, clean, _ in callers])),
            phonemes=torch.from_numpy(labels).reshape(-1, _FRAMES, _LABELS),
            pulses=torch.from_numpy(np.stack([pulses for _, pulses in own])),
        )

    def _own(self, bits: np.random.Generator) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return a sentence and its pulses, placed on any frame."""
        audio, pulses = np.zeros(_FRAMES * FRAME, np.float32), np.zeros(_FRAMES, np.int64)
        sentence = drawn_sentence(bits)
        offset = int(bits.integers(-max(1, sentence.frames - 8), _FRAMES - 6))
        source, place = max(0, -offset), max(0, offset)
        count = min(sentence.frames - source, _FRAMES - place)
        audio[place * FRAME : (place + count) * FRAME] = sentence.audio[source * FRAME : (source + count) * FRAME]
        pulses[place : place + count] = sentence.pulses[source : source + count]
        return audio, pulses

    def _caller(
        self, bits: np.random.Generator
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return a call as it is heard and as it was said, and its phonemes; sometimes only a background."""
        samples, slots = _FRAMES * FRAME, _FRAMES * _LABELS
        clean, labels = np.zeros(samples, np.float32), np.full(slots, self._indices["_"])
        if bits.random() < 0.08:
            return background(samples, bits, loudest=0.1), clean, labels
        call = self._calls[int(bits.integers(len(self._calls)))]
        audio = call.audio.astype(np.float32) / 32767
        slot = samples // slots
        offset = int(bits.integers(-max(1, len(audio) - samples // 2), samples // 2))
        source, place = max(0, -offset), max(0, offset)
        count = min(len(audio) - source, samples - place)
        clean[place : place + count] = audio[source : source + count]
        for (begin, name), (end, _) in zip(call.phonemes, (*call.phonemes[1:], (len(audio) // slot, "_")), strict=True):
            first, last = (round(at + offset / slot) + _LATER for at in (begin, end))
            labels[max(0, first) : max(0, last)] = self._indices[name]
        heard = through_room(clean, bits)
        loudest = 0.02 if bits.random() < 0.8 else 0.1 * float(np.abs(heard).max())
        return heard + background(samples, bits, loudest=max(loudest, 1e-4)), clean, labels


def train_codec(corpus: Corpus, folder: Path, *, minutes: float, seed: int, max_steps: int | None = None) -> MimiModel:
    """Train encoder and quantiser, or go on with it, and return the codec; its decoder is untrained."""
    torch.manual_seed(seed)
    batches = Batches(corpus, seed)
    codec, heads = new_codec(), Heads(batches.phonemes)
    codec.train()
    parameters = [*_learning(codec), *heads.parameters()]
    optimizer = Muon(parameters)
    kept: dict[str, Any] = {"codec": codec, "heads": heads, "optimizer": optimizer}
    training = Training(folder, 60 * minutes, kept, max_steps)
    for step in training.steps():
        if training.fraction > 0.6:
            _keep_codes(codec)
        losses = _losses(codec, heads, batches.draw(step), quantised=step >= _UNQUANTISED_STEPS)
        loss = (
            2.0 * losses["own_mel"]
            + 0.2 * losses["pulses"]
            + 0.3 * losses["caller_mel"]
            + 0.5 * losses["phonemes_of_first"]
            + 0.5 * losses["phonemes_of_all"]
            + 0.25 * losses["commitment"]
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 2.0)
        optimizer.step(learning_rate(step, training.fraction, peak=5e-3))
        _forget_history(codec)
        training.record(**{name: float(value.detach()) for name, value in losses.items()})
    return codec


def _learning(codec: MimiModel) -> Iterator[torch.nn.Parameter]:
    for module in (codec.encoder, codec.encoder_transformer, codec.downsample, codec.quantizer):
        yield from (parameter for parameter in module.parameters() if parameter.requires_grad)


def _keep_codes(codec: MimiModel) -> None:
    """Let codes that are rare be: what reads them has begun to rely on them."""
    for module in codec.modules():
        if hasattr(module, "threshold_usage_ratio"):
            module.threshold_usage_ratio = 0.01


def _forget_history(codec: MimiModel) -> None:
    """Cut the codebooks off from the steps that made them: a rare code is replaced by a latent that still holds its
    graph, and so, one after the other, every step there was."""
    for module in codec.modules():
        if isinstance(module, EuclideanCodebook):
            module.embedding_sum.detach_()
            module.cluster_usage.detach_()


def _losses(codec: MimiModel, heads: Heads, batch: Batch, *, quantised: bool) -> dict[str, torch.Tensor]:
    (latent,) = codec.encoder_transformer(encode_audio(codec, batch.heard))
    latent = codec._to_framerate(latent)
    quantiser = codec.quantizer
    if quantised:
        first, rest = quantiser.rvq_first(latent, FRAME_RATE_HZ), quantiser.rvq_rest(latent, FRAME_RATE_HZ)
        of_first, of_all, commitment = first.x, first.x + rest.x, first.penalty + rest.penalty
    else:
        of_first, of_rest = (
            part.output_proj(part.input_proj(latent)) for part in (quantiser.rvq_first, quantiser.rvq_rest)
        )
        of_all, commitment = of_first + of_rest, 0.01 * latent.pow(2).mean()
    of_first, of_all = of_first.transpose(1, 2), of_all.transpose(1, 2)
    with torch.no_grad():
        wanted = log_mel(batch.clean)
    apart = (heads.spectra(of_all) - wanted).abs()
    return {
        "own_mel": apart[:_OWN].mean(),
        "caller_mel": apart[_OWN:].mean(),
        "pulses": F.cross_entropy(heads.pulses(of_all[:_OWN]).flatten(0, 1), batch.pulses.flatten()),
        "phonemes_of_first": _phoneme_loss(heads.phonemes_of_first(of_first), batch.phonemes),
        "phonemes_of_all": _phoneme_loss(heads.phonemes_of_all(of_all), batch.phonemes),
        "commitment": commitment,
    }


def _phoneme_loss(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    logits = found.unflatten(2, (_LABELS, -1))
    return F.cross_entropy(logits.flatten(0, 2), wanted.flatten(), ignore_index=_UNLABELLED)
