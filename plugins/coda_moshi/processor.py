"""The processor `moshi`: many conversations on one model, each as if it were alone.

The batch has a fixed number of slots, one conversation each, and every step runs all of them: slots without a frame
are masked, and their state stands still. Invariants:

- What comes out of a slot depends on what went into it since `open`, and on nothing else. No row of any tensor is
  computed from another row, sampling included (see `generator`).
- Two masks, each one tensor shared by all modules that obey it: `ready` moves the codec's encoder and the language
  model, `speaking` the codec's decoder. A slot that is warming up is ready but not yet speaking.
- A slot that is free holds a fresh state: it is wiped when its conversation closes or fails, not when the next opens.
- A step that raises leaves slots that took part torn and all others as they were; `close` mends a torn slot.
- A step copies once to the device and once back, and waits for the device only there.
- Tensors here are made and changed in inference mode, whatever the mode of the thread that calls.

As in moshi's reference server, the first frame of a conversation only lets time begin: it is encoded and stepped, then
the encoder starts again, so that the frame after it is the first that the model hears.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from moshi.models import MimiModel
from moshi.utils.compile import no_compile

from coda_core.errors import ModelError
from coda_core.interfaces import ProcessorInfo, SlotOptions, StepInput, StepOutput
from coda_moshi.faults import device_faults
from coda_moshi.frame_buffers import FrameBuffers
from coda_moshi.generator import SlotGenerator
from coda_moshi.loading import LoadedModel
from coda_moshi.slot_state import SlotState
from coda_moshi.stage_times import StageTimes

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MoshiProcessor"]

_WARM_UP_STEPS: Final = 4
"""Enough for every CUDA graph to be captured and then replayed once."""

_ENCODER: Final = ("encoder", "encoder_transformer", "downsample")
_DECODER: Final = ("decoder", "decoder_transformer", "upsample")


class MoshiProcessor:
    """Serves `slots` conversations on `model`; see `coda_core.interfaces.Processor` for the contract.

    All calls on one thread.
    """

    def __init__(self, model: LoadedModel, slots: int) -> None:
        self._device = model.device
        self._mimi = model.mimi
        self._sampling = sampling = model.sampling
        with self._at_work("making room for conversations"):
            self._generator = SlotGenerator(
                model.lm, slots, text_most=sampling.text_top_k, audio_most=sampling.audio_top_k
            )
            self._mimi.streaming_forever(slots)
            self._ready = torch.zeros(slots, dtype=torch.bool, device=self._device)
            self._speaking = torch.zeros_like(self._ready)
        self._language_model = self._generator.slot_state()
        self._encoder, self._decoder = _halves(self._mimi)
        self._language_model.share_mask(self._ready)
        self._encoder.share_mask(self._ready)
        self._decoder.share_mask(self._speaking)
        self._buffers = FrameBuffers(slots, self._mimi.frame_size, self._device)
        self._times = StageTimes(("encode", "model", "decode"), self._device)
        self._taken = np.zeros(slots, np.bool_)
        self._steps = np.zeros(slots, np.int64)
        self.info = ProcessorInfo(
            slots=slots,
            delay_frames=self._generator.max_delay,
            vocabulary=model.vocabulary,
            fingerprint=model.fingerprint,
            sample_rate_hz=self._mimi.sample_rate,
            frame_samples=self._mimi.frame_size,
            defaults=sampling.as_options(),
        )

    def open(self, slot: int, options: SlotOptions) -> None:
        """Start a conversation in a free slot; raises `ConversationError` for settings that it cannot have."""
        if self._taken[slot]:
            raise ValueError(f"slot {slot} is taken; close it before opening it again")
        sampling = self._sampling.asked(options)
        with self._at_work("opening a conversation"):
            self._generator.configure(slot, sampling)
        self._taken[slot] = True

    def step(self, batch: StepInput) -> StepOutput:
        """Advance the slots in `batch` by one frame, and wipe those that fail."""
        if not self._taken[batch.slots].all():
            raise ValueError(f"slots {batch.slots[~self._taken[batch.slots]].tolist()} hold no conversation")
        with self._at_work("stepping the model"):
            output = self._step(batch.slots, batch.pcm)
            if output.failed.any():
                self._free(batch.slots[output.failed])
        return output

    def close(self, slot: int) -> None:
        """Free the slot and wipe everything it held; also mends a slot that an exception tore."""
        if self._taken[slot]:
            with self._at_work("closing a conversation"):
                self._free(np.array([slot]))

    def warm_up(self) -> None:
        """Run full batches of silence, then wipe them: the first step of a conversation is no slower than others.

        Raises `ModelError` where the model gives numbers that are not finite even then.
        """
        everyone = np.arange(self.info.slots)
        silence = np.zeros((self.info.slots, self.info.frame_samples), np.float32)
        with self._at_work("warming up"):
            failed = [self._step(everyone, silence).failed.any() for _ in range(_WARM_UP_STEPS)]
            self._free(everyone)
        if any(failed):
            raise ModelError(
                "the model answers silence with numbers that are not finite, so its weights are damaged or too large "
                "for the chosen dtype. Try dtype = 'float32', or fetch the checkpoint again."
            )

    def release(self) -> None:
        """Give the memory back, even where somebody still holds this object; nothing else may be called afterwards."""
        del self._mimi, self._generator, self._language_model, self._encoder, self._decoder, self._buffers
        # moshi's modules and their hooks refer to each other.
        gc.collect()
        if self._device.type == "cuda":
            # A lost device has nothing to give back, and what lost it is already on its way up.
            with suppress(RuntimeError):
                torch.cuda.empty_cache()

    def _step(self, slots: NDArray[np.int64], pcm: NDArray[np.float32]) -> StepOutput:
        times = self._times
        times.start()
        heard, ready = self._buffers.send(slots, pcm)
        self._ready.copy_(ready)
        # The two halves of `MimiModel.encode`: what is not finite can be seen only between them.
        latent = self._mimi.encode_to_latent(heard, quantize=False)
        codes = self._mimi.quantizer.encode(latent)
        self._restart_encoder(slots[self._steps[slots] == 0])
        times.mark()
        tokens, probability, finite = self._generator.advance(codes)
        times.mark()
        valid = tokens[:, 0] >= 0
        self._speaking.copy_(valid)
        # Tokens are negative where there is no frame yet, and would index past the codebooks.
        voice = self._mimi.decode(tokens[:, 1:, None].clamp(min=0))
        times.mark()
        finite = finite & latent.sum((1, 2)).isfinite()
        result = self._buffers.receive(voice, tokens[:, 0], probability, valid, finite)
        self._steps[slots] += 1

        spoken, valid_rows = result.pcm[slots], result.valid[slots]
        failed = ~result.finite[slots] | (valid_rows & ~np.isfinite(spoken).all(axis=1))
        silent = failed | ~valid_rows
        spoken[silent] = 0.0
        return StepOutput(
            pcm=spoken,
            valid=~silent,
            token=np.where(silent, self.info.vocabulary.padding, result.token[slots]).astype(np.int64),
            probability=np.where(silent, np.float32(0), result.probability[slots]),
            failed=failed,
            stage_s=times.seconds(),
        )

    def _restart_encoder(self, beginning: NDArray[np.int64]) -> None:
        if beginning.size:
            self._encoder.wipe(torch.from_numpy(beginning).to(self._device))

    def _free(self, slots: NDArray[np.int64]) -> None:
        rows = torch.from_numpy(slots).to(self._device)
        for state in (self._encoder, self._language_model, self._decoder):
            state.wipe(rows)
        self._steps[slots] = 0
        self._taken[slots] = False

    @contextmanager
    def _at_work(self, doing: str) -> Iterator[None]:
        # Graphs are captured and events recorded on the current device. On a CPU, compiling the few functions that
        # moshi would compile takes a C++ compiler and a minute, and gains nothing.
        with (
            device_faults(self._device, doing),
            torch.inference_mode(),
            torch.cuda.device(self._device) if self._device.type == "cuda" else no_compile(),
        ):
            yield


def _halves(mimi: MimiModel) -> tuple[SlotState, SlotState]:
    """Return the state of a codec's encoder and of its decoder; raises `ModelError` where there is a third part."""
    halves: tuple[dict[str, Any], dict[str, Any]] = {}, {}
    for name, state in mimi.get_streaming_state().items():
        part = name.partition(".")[0]
        if part in _ENCODER:
            halves[0][name] = state
        elif part in _DECODER:
            halves[1][name] = state
        elif name:
            raise ModelError(f"the installed moshi package's codec has a part that this Coda does not know: {name}")
    return SlotState(halves[0]), SlotState(halves[1])
