"""What a model and its conversations take of memory, counted on torch's meta device: nothing is allocated.

Weights, rings and all other streaming state are counted on the very objects that serve later, so they are exact. The
working memory of a step and of libraries is an estimate, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Final

import torch
from moshi.models import LMModel, MimiModel

from coda_core.memory import MemoryPart
from coda_moshi.frame_buffers import FrameBuffers
from coda_moshi.generator import SlotGenerator
from coda_moshi.lean_modules import make_lean
from coda_moshi.sampling_settings import SamplingSettings
from coda_moshi.slot_state import Row, SlotState

__all__ = ["conversation_parts", "fast_step_part", "fixed_parts", "weights_bytes"]

_CUDA_BYTES: Final = 600 * 10**6
"""A CUDA context with torch's kernels, and the workspace of cuBLAS and cuDNN: not measured here, a usual size."""
_CPU_BYTES: Final = 150 * 10**6
"""What torch's kernels, their threads and the tokenizer's library take of a process that has imported them."""
_CODEC_ACTIVATIONS: Final = 8
"""Codec: activations of the size of its first layer's output that a step keeps, encoder and decoder together; 7 were
counted at the released sizes."""
_LOGIT_COPIES: Final = 4
"""Language model: float32 copies of a step's text logits; 3 were counted."""


def weights_bytes(model: torch.nn.Module) -> int:
    """Return the bytes of all parameters and buffers."""
    return sum(_bytes(tensor) for tensor in (*model.parameters(), *model.buffers()))


def fixed_parts(lm: LMModel, mimi: MimiModel, sampling: SamplingSettings, device: str) -> tuple[MemoryPart, ...]:
    """Return what is taken once beside the weights; `device` is its type."""
    # moshi divides each codebook that is used by its counts, and keeps the result.
    used = _used_codebooks(lm, mimi)
    once, _ = _own_buffers(lm, sampling)
    libraries = _CUDA_BYTES if device == "cuda" else _CPU_BYTES
    return (
        _fixed("codebooks, unpacked", sum(_bytes(each) for each in used)),
        _fixed("tables for sampling", once),
        _fixed("libraries of the device", libraries, estimated=True),
    )


def fast_step_part(lm: LMModel, mimi: MimiModel) -> MemoryPart:
    """Return what the fast step keeps beside the weights, and make both models lean on the way."""
    before = weights_bytes(lm) + weights_bytes(mimi)
    # Each codebook that is used gets a copy with two columns more.
    joined = sum(len(each) * (each.shape[1] + 2) * each.element_size() for each in _used_codebooks(lm, mimi))
    make_lean(mimi, lm)
    kept = {
        tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes()
        for model in (lm, mimi)
        for module in model.modules()
        for tensor in (*module.parameters(), *module.buffers(), *_plain_tensors(module))
    }
    return _fixed("copies for the fast step", sum(kept.values()) - before + joined)


def conversation_parts(lm: LMModel, mimi: MimiModel, sampling: SamplingSettings) -> tuple[MemoryPart, ...]:
    """Return what each conversation takes. Both models must be on the meta device, and not streaming."""
    with mimi.streaming(1):
        of_codec = list(SlotState(mimi.get_streaming_state()))
    with lm.depformer.streaming(1):
        states = lm.depformer.get_streaming_state().values()
        depth = sum(_bytes(state.kv_cache.cache) for state in states if getattr(state, "kv_cache", None) is not None)
    with _streaming(lm, 1, sampling) as generator:
        of_lm = list(generator.slot_state())
    _, buffers = _own_buffers(lm, sampling)
    frame = mimi.frame_size
    buffers += _each(lambda slots: _held_bytes(FrameBuffers(slots, frame, torch.device("cpu"))))
    activation = lm.text_linear.out_features * _LOGIT_COPIES * 4 + _CODEC_ACTIVATIONS * _first_activation_bytes(mimi)
    return (
        _of_each("keys and values of the temporal transformer", sum(map(_row_bytes, filter(_in_ring, of_lm)))),
        _of_each("keys and values of the depth transformer", depth),
        _of_each("keys and values of the codec", sum(map(_row_bytes, filter(_in_ring, of_codec)))),
        _of_each("convolutions of the codec", sum(_row_bytes(row) for row in of_codec if not _in_ring(row))),
        _of_each("tokens and positions", sum(_row_bytes(row) for row in of_lm if not _in_ring(row))),
        _of_each("buffers and settings", buffers),
        _of_each("working memory of a step", activation, estimated=True),
    )


@contextmanager
def _streaming(lm: LMModel, slots: int, sampling: SamplingSettings) -> Iterator[SlotGenerator]:
    # What moshi makes of torch's operators here, torch imports seconds of code for on the meta device.
    lm._get_initial_token = lambda: torch.empty(1, lm.num_codebooks, 1, dtype=torch.long, device="meta")
    generator = SlotGenerator(lm, slots, text_most=sampling.text_top_k, audio_most=sampling.audio_top_k)
    try:
        yield generator
    finally:
        generator.stop()


def _own_buffers(lm: LMModel, sampling: SamplingSettings) -> tuple[int, int]:
    """Return the bytes that a generator holds beside the model and its slots' state: once, and for each slot."""

    def held(slots: int) -> int:
        with _streaming(lm, slots, sampling) as generator:
            known = {row.tensor.untyped_storage()._cdata for row in generator.slot_state()}
            return _held_bytes(generator, known)

    return 2 * held(1) - held(2), _each(held)


def _each(bytes_of: Callable[[int], int]) -> int:
    return bytes_of(2) - bytes_of(1)


def _held_bytes(holder: object, known: Collection[int] = ()) -> int:
    """Return the bytes of all tensors that an object of Coda's holds, those of Coda's objects in it included.

    What several tensors share is counted once, and what is in `known` not at all.
    """
    found = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in _tensors(holder)}
    return sum(size for storage, size in found.items() if storage not in known)


def _tensors(holder: object) -> Iterator[torch.Tensor]:
    for value in vars(holder).values():
        if isinstance(value, torch.Tensor):
            yield value
        elif type(value).__module__.startswith("coda_moshi."):
            yield from _tensors(value)


def _plain_tensors(module: torch.nn.Module) -> Iterator[torch.Tensor]:
    return (value for value in vars(module).values() if isinstance(value, torch.Tensor))


def _used_codebooks(lm: LMModel, mimi: MimiModel) -> list[torch.Tensor]:
    codebooks = [buffer for name, buffer in mimi.named_buffers() if name.endswith("embedding_sum")]
    return codebooks[: max(lm.dep_q, lm.n_q - lm.dep_q)]


def _first_activation_bytes(mimi: MimiModel) -> int:
    filters: int = mimi.encoder.n_filters
    samples: int = mimi.frame_size
    return filters * samples * 4


def _in_ring(row: Row) -> bool:
    return row.name.endswith(("kv_cache.cache", "kv_cache.end_offset"))


def _row_bytes(row: Row) -> int:
    return _bytes(row.tensor)


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _fixed(name: str, size: int, *, estimated: bool = False) -> MemoryPart:
    return MemoryPart(name=name, kind="fixed", size_bytes=size, estimated=estimated)


def _of_each(name: str, size: int, *, estimated: bool = False) -> MemoryPart:
    return MemoryPart(name=name, kind="conversation", size_bytes=size, estimated=estimated)
