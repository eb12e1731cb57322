"""Models without numbers: of the right classes, shapes and dtypes, on torch's meta device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from moshi.utils.quantize import QLinear
from torch.nn import init
from torch.overrides import TorchFunctionMode

__all__ = ["numberless", "promise_int8"]

_FILLS: Final = frozenset(
    {
        init.normal_,
        init.uniform_,
        init.kaiming_uniform_,
        torch.Tensor.normal_,
        torch.Tensor.uniform_,
        torch.Tensor.erfinv_,
        torch.Tensor.clamp_,
    }
)


@contextmanager
def numberless() -> Iterator[None]:
    """Let modules that are made meanwhile take no memory and draw no first weights."""
    # Mimi's constructors take no device.
    with torch.device("meta"), _Unwritten():
        yield


class _Unwritten(TorchFunctionMode):
    """Skips what only writes numbers, for the meta device: torch would import seconds of code to do nothing."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if func in _FILLS:
            return args[0] if args else named["tensor"]
        return func(*args, **named)


class _PromisedInt8(QLinear):  # type: ignore[misc]  # moshi is not typed
    """A linear layer as it will be with 8-bit weights, without the package that makes them."""

    def __init__(self, linear: torch.nn.Linear) -> None:
        torch.nn.Module.__init__(self)
        self.out_features, self.in_features = rows, columns = linear.weight.shape
        self.weight = _promised((rows, columns), torch.int8)
        self.weight_scb = _promised((rows,), torch.float32)


def promise_int8(model: torch.nn.Module) -> None:
    """Put layers with 8-bit weights in place of all linear ones, as moshi's own quantisation does."""
    for name, child in model.named_children():
        if isinstance(child, torch.nn.Linear):
            setattr(model, name, _PromisedInt8(child))
        else:
            promise_int8(child)


def _promised(shape: tuple[int, ...], dtype: torch.dtype) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.empty(shape, dtype=dtype, device="meta"), requires_grad=False)
