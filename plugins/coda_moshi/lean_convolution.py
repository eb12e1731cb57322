"""moshi's streaming convolutions with fewer operators, and the same state.

A stock convolution makes its masks and copies anew in every step; on a CPU that costs more than a small convolution
itself. Here the state is written in place, by one operator. Invariants:

- `LeanConv1d` calls the same convolution on the same values in the same layout: its output is equal to the stock
  module's bit for bit. What the codec's encoder hears becomes codes, and a last bit can change a code.
- `LeanConvTranspose1d` sums in another order, so that the voice differs from the stock module's in the last bits. It is
  in the codec's decoder alone, from which nothing returns to the model. What a row becomes depends on that row alone.
- State is the stock module's own: the two can take turns, and a slot that was parked by one resumes on the other.
"""

from __future__ import annotations

import torch
from moshi.modules.conv import StreamingConv1d, StreamingConvTranspose1d

__all__ = ["LeanConv1d", "LeanConvTranspose1d"]


class LeanConv1d(StreamingConv1d):  # type: ignore[misc]  # moshi is not typed
    """`StreamingConv1d`; only while it streams."""

    @staticmethod
    def refuses(module: StreamingConv1d) -> str | None:
        """Return why `module` has to stay as it is, or None."""
        return None if module.conv.norm_type == "none" else "its weights are normalised in every step"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``[B, out, T / stride]`` for ``[B, in, T]``."""
        state, convolution = self._streaming_state, self.conv.conv
        previous = state.previous
        kept = previous.shape[2]
        if kept:
            moving = state.exec_mask.view(-1, 1, 1)
            if self.pad_mode == "replicate":
                begins = state.first.logical_and(state.exec_mask)
                torch.where(begins.view(-1, 1, 1), x[..., :1], previous, out=previous)
                state.first.logical_and_(state.exec_mask.logical_not())
            x = torch.cat((previous, x), 2)
            torch.where(moving, x.narrow(2, -kept, kept), previous, out=previous)
        weight, bias = convolution.weight, convolution.bias
        return torch.conv1d(x, weight, bias, convolution.stride, 0, convolution.dilation, convolution.groups)


class LeanConvTranspose1d(StreamingConvTranspose1d):  # type: ignore[misc]  # moshi is not typed
    """`StreamingConvTranspose1d` with a kernel of two strides, as one matrix product; only while it streams.

    A position of the input reaches two strides of the output: the first is added to what its predecessor has left
    there, the second is left to its successor.
    """

    @staticmethod
    def refuses(module: StreamingConvTranspose1d) -> str | None:
        """Return why `module` has to stay as it is, or None."""
        convolution = module.convtr.convtr
        if module.convtr.norm_type != "none":
            return "its weights are normalised in every step"
        if module._kernel_size != 2 * module._stride:
            return "its kernel is not two strides long"
        by_channel = convolution.groups == convolution.in_channels == convolution.out_channels
        if convolution.groups != 1 and not by_channel:
            return "its channels are in groups"
        return None

    def prepare(self) -> None:
        """Make what is kept beside the weights: the weight as ``[in, 2 * stride * out]``, and the bias for its rows."""
        convolution = self.convtr.convtr
        stride, channels = self._stride, convolution.out_channels
        self.lean_by_channel = convolution.groups > 1
        bias = convolution.weight.new_zeros(2, stride, channels)
        if convolution.bias is not None:
            bias[0] = convolution.bias
        if self.lean_by_channel:
            weight = convolution.weight[:, 0].t().contiguous()
        else:
            weight = convolution.weight.permute(0, 2, 1).reshape(-1, 2 * stride * channels)
        self.lean_weight, self.lean_bias = weight, bias.view(-1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``[B, out, T * stride]`` for ``[B, in, T]``, with channels beside each other in memory."""
        state, stride = self._streaming_state, self._stride
        batch, channels, steps = x.shape
        rows = x.transpose(1, 2).reshape(-1, channels)
        if self.lean_by_channel:
            reached = self.lean_bias.view(-1, channels) + rows.view(-1, 1, channels) * self.lean_weight
        else:
            reached = torch.addmm(self.lean_bias, rows, self.lean_weight)
        halves = reached.view(batch, steps, 2, stride, -1)
        now, left = halves.unbind(2)
        partial = state.partial
        inherited = partial.transpose(1, 2).unsqueeze(1)
        if steps > 1:
            inherited = torch.cat((inherited, left.narrow(1, 0, steps - 1)), 1)
        y: torch.Tensor = now + inherited
        last = left.select(1, steps - 1).transpose(1, 2)
        torch.where(state.exec_mask.view(-1, 1, 1), last, partial, out=partial)
        return y.view(batch, steps * stride, -1).transpose(1, 2)
