"""The model's batch on its device: codec and language model, stepped together for a fixed number of slots.

Every step runs all slots; those without a frame are masked, and their state stands still. Invariants:

- No row of any tensor is computed from another row, sampling included (see `generator`).
- Two masks, each one tensor shared by all modules that obey it: `ready` moves the codec's encoder and the language
  model, `speaking` the codec's decoder. A slot that is warming up is ready but not yet speaking.
- A step copies once to the device and once back, and waits for the device only there; where slots are told anything,
  what they are told is one copy more.
- Tensors here are made and changed in inference mode, whatever the mode of the thread that calls: enter `at_work`.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import torch
from moshi.models import MimiModel
from moshi.utils.compile import no_compile

from coda_core.errors import ModelError
from coda_moshi.codec_silence import silence_codes
from coda_moshi.faults import device_faults
from coda_moshi.frame_buffers import FrameBuffers, HostStep
from coda_moshi.generator import SlotGenerator
from coda_moshi.loading import LoadedModel
from coda_moshi.onsets import wishes
from coda_moshi.slot_export import Rows, SlotRows
from coda_moshi.slot_script import Directive, Manner
from coda_moshi.slot_state import SlotState
from coda_moshi.stage_times import StageTimes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["SlotBatch"]

_ENCODER: Final = ("encoder", "encoder_transformer", "downsample")
_DECODER: Final = ("decoder", "decoder_transformer", "upsample")


class SlotBatch:
    """Steps `slots` slots of `model`, which only one batch can have at a time.

    Everything but the constructor and `release` is called within `at_work`.
    """

    def __init__(self, model: LoadedModel, slots: int) -> None:
        self.device = model.device
        self.slots = slots
        self.mimi = model.mimi
        self.wishes = wishes(model.vocabulary, model.lm.text_linear.out_features, model.rule)
        with self.at_work("making room for conversations"), ExitStack() as exits:
            sampling = model.sampling
            self.generator = SlotGenerator(
                model.lm, slots, text_most=sampling.text_top_k, audio_most=sampling.audio_top_k
            )
            exits.callback(self.generator.stop)
            exits.enter_context(self.mimi.streaming(slots))
            self.ready = torch.zeros(slots, dtype=torch.bool, device=self.device)
            self.speaking = torch.zeros_like(self.ready)
            self._streams = exits.pop_all()
        self.manner = Manner(
            rule=model.rule,
            padding=model.vocabulary.padding,
            end_of_padding=model.vocabulary.end_of_padding,
            text_tokens=len(self.wishes),
            text_lag=self.generator.max_delay - model.lm.delays[0],
            audio_lag=self.generator.max_delay,
        )
        self.language_model = self.generator.slot_state()
        self.encoder, self.decoder = _halves(self.mimi)
        self.language_model.share_mask(self.ready)
        self.encoder.share_mask(self.ready)
        self.decoder.share_mask(self.speaking)
        self._buffers = FrameBuffers(slots, self.mimi.frame_size, self.device)
        self._times = StageTimes(("encode", "model", "decode"), self.device)
        self._rows = SlotRows({"encoder": self.encoder, "language_model": self.language_model, "decoder": self.decoder})

    def learn_silence(self) -> None:
        """Measure what silence is to the codec; it leaves all encoders torn."""
        self.ready.fill_(True)
        self.generator.steering.learn(self.wishes, silence_codes(self.mimi, self.slots))

    def run(
        self,
        slots: NDArray[np.int64],
        pcm: NDArray[np.float32],
        told: Mapping[int, Directive],
        beginning: NDArray[np.int64],
    ) -> tuple[HostStep, Mapping[str, float]]:
        """Advance `slots` by a frame of `pcm` ``[n, frame_samples]``; return their step and its stages in seconds.

        Of slots in `beginning` the encoder starts again, once it has encoded the frame.
        """
        times, steering = self._times, self.generator.steering
        times.start()
        steering.tell(told)
        heard, ready = self._buffers.send(slots, pcm)
        self.ready.copy_(ready)
        # The two halves of `MimiModel.encode`: what is not finite can be seen only between them.
        latent = self.mimi.encode_to_latent(heard, quantize=False)
        codes = self.mimi.quantizer.encode(latent)
        self.restart_encoder(beginning)
        times.mark()
        tokens, probability, finite = self.generator.advance(codes)
        times.mark()
        valid = steering.shown(tokens[:, 0] >= 0)
        self.speaking.copy_(valid)
        # Tokens are negative where there is no frame yet, and would index past the codebooks.
        voice = self.mimi.decode(tokens[:, 1:, None].clamp(min=0))
        times.mark()
        finite = finite & latent.sum((1, 2)).isfinite()
        result = self._buffers.receive(voice, tokens[:, 0], probability, valid, finite, steering.wish)
        return result, times.seconds()

    def restart_encoder(self, slots: NDArray[np.int64]) -> None:
        """Make the encoder hear `slots` as if for the first time."""
        if slots.size:
            self.encoder.wipe(torch.from_numpy(slots).to(self.device))

    def wipe(self, slots: NDArray[np.int64]) -> None:
        """Make `slots` what they were before any step."""
        rows = torch.from_numpy(slots).to(self.device)
        for state in (self.encoder, self.language_model, self.decoder):
            state.wipe(rows)

    def taken(self, slot: int) -> Rows:
        """Return a copy of all state of `slot`."""
        return self._rows.taken(slot)

    def put(self, slot: int, rows: Rows) -> None:
        """Write what `taken` returned here into a fresh slot."""
        self._rows.put(slot, rows)

    def put_foreign(self, slot: int, rows: Rows) -> None:
        """The same for what comes from elsewhere; raises `ModelError`, before anything is written, if it cannot fit."""
        self._rows.check(slot, rows)
        arrays = rows.arrays
        self.generator.refuse(arrays["language_model/generator.cache"], arrays["language_model/prompt.codes"])
        self._rows.put(slot, rows)

    def release(self) -> None:
        """Let the model go, and give the memory of its slots back even where somebody still holds this object.

        Nothing else may be called afterwards, but this once more.
        """
        self._streams.close()
        for part in ("mimi", "generator", "language_model", "encoder", "decoder", "_buffers", "_rows"):
            vars(self).pop(part, None)
        # moshi's modules and their hooks refer to each other.
        gc.collect()
        if self.device.type == "cuda":
            # A lost device has nothing to give back, and what lost it is already on its way up.
            with suppress(RuntimeError):
                torch.cuda.empty_cache()

    @contextmanager
    def at_work(self, doing: str) -> Iterator[None]:
        """Set the modes of this thread, and tell faults of the device in words; `doing` stands behind "while"."""
        # Graphs are captured and events recorded on the current device. On a CPU, compiling the few functions that
        # moshi would compile takes a C++ compiler and a minute, and gains nothing.
        with (
            device_faults(self.device, doing),
            torch.inference_mode(),
            torch.cuda.device(self.device) if self.device.type == "cuda" else no_compile(),
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
