"""The loop that every trained stage runs in: a budget of computing time, losses on disk, and going on after a kill."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import torch

__all__ = ["Stateful", "Training", "WeightAverage", "learning_rate", "save_atomically"]

_LOG: Final = logging.getLogger(__name__)
_SAVE_EVERY_S: Final = 60.0
_RECORD_EVERY: Final = 50


class Stateful(Protocol):
    """What a checkpoint keeps: modules, optimisers, averages."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


def learning_rate(step: int, fraction: float, *, peak: float, warmup: int = 100) -> float:
    """Return the rate at a step: up in `warmup` steps, level, and from half of the budget down along a cosine."""
    falling = max(0.0, (fraction - 0.5) / 0.5)
    return peak * min(1.0, (step + 1) / warmup) * (0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * min(1.0, falling))))


class Training:
    """Steps of one stage until its budget of computing time is spent.

    Computing time is that of this process divided by torch's threads: a stage on a busy or stopped machine gets no
    fewer steps. State is saved every minute, at the end, and read again by a later run with the same folder; the
    budget may have changed in between.
    """

    def __init__(
        self, folder: Path, budget_s: float, kept: Mapping[str, Stateful], max_steps: int | None = None
    ) -> None:
        self._folder = folder
        self._budget_s = budget_s
        self._kept = kept
        self._max_steps = max_steps
        self._spent_s = 0.0
        self._losses: list[dict[str, float]] = []
        self.step = 0
        folder.mkdir(parents=True, exist_ok=True)
        if self._path.exists():
            self._resume()

    @property
    def _path(self) -> Path:
        return self._folder / "state.pt"

    @property
    def _log_path(self) -> Path:
        return self._folder / "losses.jsonl"

    @property
    def fraction(self) -> float:
        """How much of the budget is spent, 0 to 1."""
        by_steps = 0.0 if self._max_steps is None else self.step / self._max_steps
        return min(1.0, max(self._spent_s / self._budget_s if self._budget_s else 1.0, by_steps))

    def steps(self) -> Iterator[int]:
        """Yield the number of each step that is to be taken."""
        saved_s = self._spent_s
        started_s, before_s = _computing_s(), self._spent_s
        while self.fraction < 1.0:
            yield self.step
            self.step += 1
            self._spent_s = before_s + _computing_s() - started_s
            if self._spent_s - saved_s > _SAVE_EVERY_S:
                self.save()
                saved_s = self._spent_s
        self.save()

    def record(self, **losses: float) -> None:
        """Note the losses of this step; their means are logged and kept every 50 steps."""
        self._losses.append(losses)
        if len(self._losses) < _RECORD_EVERY:
            return
        means = {name: sum(entry[name] for entry in self._losses) / len(self._losses) for name in losses}
        self._losses.clear()
        entry = {"step": self.step + 1, "minutes": self._spent_s / 60, **means}
        with self._log_path.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        shown = " ".join(f"{name} {value:.3f}" for name, value in means.items())
        _LOG.info(
            "%s: step %d, %3.0f %% of the budget: %s", self._folder.name, self.step + 1, 100 * self.fraction, shown
        )

    def save(self) -> None:
        """Keep everything that a later run needs to go on."""
        state = {name: part.state_dict() for name, part in self._kept.items()}
        save_atomically({"step": self.step, "spent_s": self._spent_s, "parts": state}, self._path)

    def _resume(self) -> None:
        state = torch.load(self._path, weights_only=True)
        for name, part in self._kept.items():
            part.load_state_dict(state["parts"][name])
        self.step, self._spent_s = state["step"], state["spent_s"]
        _LOG.info("%s: going on from step %d", self._folder.name, self.step)


class WeightAverage:
    """A moving average of a module's parameters, which is better than they are at every moment."""

    def __init__(self, module: torch.nn.Module, decay: float = 0.998) -> None:
        self._live = {name: value for name, value in module.named_parameters() if value.requires_grad}
        self._decay = decay
        self._steps = 0
        self._mean = {name: value.detach().clone() for name, value in self._live.items()}

    def update(self) -> None:
        """Take the module's parameters in; the first steps weigh more."""
        self._steps += 1
        decay = min(self._decay, self._steps / (self._steps + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(self._mean.values()), list(self._live.values()), 1 - decay)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self._steps, "mean": self._mean}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._steps = state["steps"]
        for name, value in state["mean"].items():
            self._mean[name].copy_(value)


def save_atomically(state: object, path: Path) -> None:
    """Save with torch so that a kill leaves either the old file or the new one."""
    making = path.with_suffix(".part")
    torch.save(state, making)
    making.replace(path)


def _computing_s() -> float:
    return time.process_time() / torch.get_num_threads()
