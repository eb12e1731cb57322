"""Stage `decoder`: what turns codes into the model's voice, learnt with the codes as they are.

Runs beside the language model. Nothing that decides on codes is touched: only the output projections of the
quantiser, the upsampling, the decoder's transformer and the decoder itself learn.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt
import torch
from moshi.models import MimiModel

from coda_demo_model.blockwise import decode_latent
from coda_demo_model.codes import Codes, EncodedSentence
from coda_demo_model.optimizer import Muon
from coda_demo_model.spectra import mel_distance, spectral_distance, waveform_distance
from coda_demo_model.training import Training, WeightAverage, learning_rate
from coda_demo_model.voice import FRAME, say

__all__ = ["decoder_parts", "train_decoder"]

_ROWS: Final = 6
_FRAMES: Final = 22
_UNJUDGED: Final = 4
"""Frames at the start of a crop, whose past is missing."""
_QUIET: Final = 8
"""Most frames of silence on either side of speech that are judged."""
_REPLIES: Final = 0.2
"""Share of the replies, which are a hundredth of all sentences and most of what is ever said."""
_WAVEFORMS_FIRST: Final = 0.4
"""Part of the time: where powers in mel bands are asked for from the start, waveforms are hardly learnt."""
_AT_FIRST: Final[Mapping[str, float]] = {"spectral": 1.0, "waveform": 1.0}
_AFTERWARDS: Final[Mapping[str, float]] = {"spectral": 1.0, "waveform": 0.5, "mel": 4.0}
_CUT: Final = 0.15
"""How often a sentence is broken off, as it is when a caller interrupts."""


def decoder_parts(codec: MimiModel) -> torch.nn.ModuleDict:
    """Return the modules that this stage trains."""
    quantiser = codec.quantizer
    return torch.nn.ModuleDict(
        {
            "first": quantiser.rvq_first.output_proj,
            "rest": quantiser.rvq_rest.output_proj,
            "upsample": codec.upsample,
            "transformer": codec.decoder_transformer,
            "decoder": codec.decoder,
        }
    )


def train_decoder(
    codec: MimiModel, codes: Codes, folder: Path, *, minutes: float, seed: int, max_steps: int | None = None
) -> dict[str, torch.Tensor]:
    """Train what follows the codes, or go on with it; return the averaged weights by their names in the codec."""
    torch.manual_seed(seed)
    parts = decoder_parts(codec)
    parts.train()
    average = WeightAverage(parts, 0.995)
    optimizer = Muon(parts.parameters())
    kept: dict[str, Any] = {"parts": parts, "average": average, "optimizer": optimizer}
    training = Training(folder, 60 * minutes, kept, max_steps)
    for step in training.steps():
        bits = np.random.default_rng((seed, 5, step))
        batch = _draw(codes, bits)
        made = _decode(codec, batch.codes)[:, _UNJUDGED * FRAME :]
        wanted = batch.audio[:, _UNJUDGED * FRAME :]
        losses = {
            "spectral": spectral_distance(made, wanted, bits),
            "waveform": waveform_distance(made, wanted),
            "mel": mel_distance(made, wanted),
        }
        weights = _AT_FIRST if training.fraction < _WAVEFORMS_FIRST else _AFTERWARDS
        optimizer.zero_grad()
        torch.stack([weight * losses[name] for name, weight in weights.items()]).sum().backward()
        torch.nn.utils.clip_grad_norm_(parts.parameters(), 2.0)
        optimizer.step(learning_rate(step, training.fraction, peak=7e-3))
        average.update()
        training.record(**{name: float(value.detach()) for name, value in losses.items()})
    return averaged_codec(codec, average)


def averaged_codec(codec: MimiModel, average: WeightAverage) -> dict[str, torch.Tensor]:
    """Return the codec's state with averaged weights where the decoder stage learns."""
    mean = average.state_dict()["mean"]
    names = {id(value): name for name, value in decoder_parts(codec).named_parameters()}
    state = codec.state_dict()
    for name, value in codec.named_parameters():
        if id(value) in names:
            state[name] = mean[names[id(value)]]
    return state


@attrs.frozen(eq=False)
class _Batch:
    codes: torch.Tensor
    """[B, codebooks, frames]."""
    audio: torch.Tensor
    """[B, frames * 1920]."""


def _draw(codes: Codes, bits: np.random.Generator) -> _Batch:
    replies, drawn = tuple(codes.replies.values()), codes.drawn
    rows: list[tuple[npt.NDArray[np.int16], npt.NDArray[np.float32]]] = []
    for _ in range(_ROWS):
        sentences = replies if bits.random() < _REPLIES else drawn
        rows.append(_crop(sentences[int(bits.integers(len(sentences)))], codes.silence, bits))
    return _Batch(
        torch.from_numpy(np.stack([codes for codes, _ in rows]).astype(np.int64)),
        torch.from_numpy(np.stack([audio for _, audio in rows])),
    )


def _crop(
    sentence: EncodedSentence, silence: npt.NDArray[np.int16], bits: np.random.Generator
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.float32]]:
    """Return some frames of a sentence with silence around it, sometimes broken off."""
    around = _FRAMES
    audio = say(sentence.text).audio
    spoken, codes = sentence.frames, sentence.codes
    if bits.random() < _CUT:
        spoken = int(bits.integers(2, sentence.frames))
        codes = codes[:, :spoken]
    quiet = np.repeat(silence[:, None], around, axis=1)
    all_codes = np.concatenate([quiet, codes, quiet], axis=1)
    all_audio = np.zeros(all_codes.shape[1] * FRAME, np.float32)
    all_audio[around * FRAME : (around + spoken) * FRAME] = audio[: spoken * FRAME]
    first, last = around - _QUIET - _UNJUDGED, around + spoken + _QUIET - _FRAMES
    begin = int(bits.integers(first, max(first, last) + 1))
    return all_codes[:, begin : begin + _FRAMES], all_audio[begin * FRAME : (begin + _FRAMES) * FRAME]


def _decode(codec: MimiModel, codes: torch.Tensor) -> torch.Tensor:
    """Return audio [B, n] of codes [B, codebooks, frames], as ``codec.decode`` does."""
    with torch.no_grad():
        first, rest = (
            part.vq.decode(chosen.transpose(0, 1))
            for part, chosen in ((codec.quantizer.rvq_first, codes[:, :1]), (codec.quantizer.rvq_rest, codes[:, 1:]))
        )
    latent = codec.quantizer.rvq_first.output_proj(first) + codec.quantizer.rvq_rest.output_proj(rest)
    (hidden,) = codec.decoder_transformer(codec._to_encoder_framerate(latent))
    return decode_latent(codec, hidden)[:, 0]
