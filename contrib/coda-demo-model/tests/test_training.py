"""A stage that is killed goes on where it was saved, and comes to the same end."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch

from coda_demo_model.training import Training, WeightAverage, learning_rate


class _Killed(Exception):
    pass


def _train(folder: Path, steps: int, kill_at: int | None = None) -> tuple[torch.nn.Linear, WeightAverage]:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)
    average = WeightAverage(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    training = Training(folder, 3600, {"model": model, "average": average, "optimizer": optimizer}, max_steps=steps)
    for step in training.steps():
        loss = model(torch.randn(8, 3, generator=torch.Generator().manual_seed(step))).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update()
        training.record(loss=float(loss.detach()))
        if step + 1 == kill_at:
            training.step += 1
            training.save()
            raise _Killed
    return model, average


def test_a_killed_run_ends_like_one_that_was_not(tmp_path: Path) -> None:
    straight, straight_average = _train(tmp_path / "straight", 12)
    with pytest.raises(_Killed):
        _train(tmp_path / "killed", 12, kill_at=5)
    resumed, resumed_average = _train(tmp_path / "killed", 12)
    assert torch.equal(straight.weight, resumed.weight)
    assert torch.equal(straight_average.state_dict()["mean"]["weight"], resumed_average.state_dict()["mean"]["weight"])


def test_a_finished_stage_takes_no_more_steps(tmp_path: Path) -> None:
    first, _ = _train(tmp_path, 3)
    again, _ = _train(tmp_path, 3)
    assert torch.equal(first.weight, again.weight)


def test_a_half_written_state_does_no_harm(tmp_path: Path) -> None:
    first, _ = _train(tmp_path, 3)
    (tmp_path / "state.part").write_bytes(b"cut off")
    assert torch.equal(_train(tmp_path, 3)[0].weight, first.weight)


def test_means_of_fifty_steps_are_kept(tmp_path: Path) -> None:
    _train(tmp_path, 100)
    entries = [json.loads(line) for line in (tmp_path / "losses.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries] == [50, 100]
    assert entries[1]["loss"] < entries[0]["loss"]


def test_the_learning_rate_rises_stays_and_falls() -> None:
    rates = [learning_rate(step, step / 1000, peak=1.0) for step in range(1001)]
    assert rates[0] == 0.01
    assert rates[100] == rates[500] == 1.0
    assert abs(rates[1000] - 0.01) < 1e-9
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates[500:]))
