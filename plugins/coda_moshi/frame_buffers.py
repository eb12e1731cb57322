"""The way of a step's numbers to the device and back: one copy each way, whatever the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import torch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FrameBuffers", "HostStep"]

_COLUMNS: Final = 5
"""Numbers of each slot that come back beside its audio."""


class HostStep(NamedTuple):
    """Results of one step for all slots, on the host; views that the next step overwrites."""

    pcm: NDArray[np.float32]
    """``[slots, frame_samples]``"""
    token: NDArray[np.float32]
    """``[slots]``; exact, as token ids are far below 2^24."""
    probability: NDArray[np.float32]
    """``[slots]``"""
    valid: NDArray[np.bool_]
    """``[slots]``"""
    finite: NDArray[np.bool_]
    """``[slots]``"""
    wish: NDArray[np.float32]
    """``[slots]``; exact, as it is small."""


class FrameBuffers:
    """Fixed buffers, page-locked where the device is a GPU. On a CPU both sides share them and nothing is copied."""

    def __init__(self, slots: int, frame_samples: int, device: torch.device) -> None:
        self._shape = (slots, frame_samples)
        pcm = slots * frame_samples
        self._host_in, self._in = _pair(pcm + slots, device)
        self._host_out, self._out = _pair(pcm + _COLUMNS * slots, device)
        self._heard = self._host_in[:pcm].numpy().reshape(self._shape)
        self._moving = self._host_in[pcm:].numpy()

    def send(self, slots: NDArray[np.int64], pcm: NDArray[np.float32]) -> tuple[torch.Tensor, torch.Tensor]:
        """Take the frames of `slots`; return PCM of all slots, ``[slots, 1, frame_samples]``, and which of them move.

        Slots that do not move get silence: nothing of an earlier frame stays here.
        """
        self._host_in.zero_()
        self._heard[slots] = pcm
        self._moving[slots] = 1.0
        if self._in is not self._host_in:
            self._in.copy_(self._host_in, non_blocking=True)
        count, length = self._shape
        return self._in[: count * length].view(count, 1, length), self._in[count * length :] > 0

    def receive(
        self,
        pcm: torch.Tensor,
        token: torch.Tensor,
        probability: torch.Tensor,
        valid: torch.Tensor,
        finite: torch.Tensor,
        wish: torch.Tensor,
    ) -> HostStep:
        """Bring a step's results to the host, and wait for them: `pcm` is ``[slots, 1, frame_samples]``."""
        count, length = self._shape
        self._out[: count * length].view(count, 1, length).copy_(pcm)
        columns = [values.float() for values in (token, probability, valid, finite, wish)]
        torch.stack(columns, out=self._out[count * length :].view(_COLUMNS, count))
        if self._out is not self._host_out:
            self._host_out.copy_(self._out)
        voice = self._host_out[: count * length].view(count, length).numpy()
        rows = self._host_out[count * length :].view(_COLUMNS, count).numpy()
        return HostStep(voice, rows[0], rows[1], rows[2] > 0, rows[3] > 0, rows[4])


def _pair(size: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    on_gpu = device.type == "cuda"
    host = torch.zeros(size, pin_memory=on_gpu)
    return host, torch.zeros(size, device=device) if on_gpu else host
