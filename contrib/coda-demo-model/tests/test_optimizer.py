"""Muon orthogonalises what is a matrix, leaves the rest to AdamW, and goes on after a kill."""

from __future__ import annotations

import copy

import torch

from coda_demo_model.optimizer import Muon, _orthogonal


def _model() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(24, 32), torch.nn.GELU(), torch.nn.Linear(32, 4))


def _step(model: torch.nn.Module, optimizer: Muon, seed: int) -> None:
    given = torch.randn(16, 24, generator=torch.Generator().manual_seed(seed))
    loss = (model(given) - given[:, :4]).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step(0.02)


def test_singular_values_come_near_one() -> None:
    for shape in ((20, 60), (60, 20), (30, 30)):
        values = torch.linalg.svdvals(_orthogonal(torch.randn(shape, generator=torch.Generator().manual_seed(1))))
        assert values.max() < 1.3
        assert values.median() > 0.6


def test_it_learns_and_every_parameter_moves() -> None:
    model = _model()
    before = [value.detach().clone() for value in model.parameters()]
    optimizer = Muon(model.parameters())
    given = torch.randn(64, 24, generator=torch.Generator().manual_seed(99))
    apart = (model(given) - given[:, :4]).pow(2).mean().item()
    for seed in range(60):
        _step(model, optimizer, seed)
    assert (model(given) - given[:, :4]).pow(2).mean().item() < 0.5 * apart
    assert all(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


def test_one_that_was_loaded_goes_on_as_if_nothing_had_been() -> None:
    straight = _model()
    first = Muon(straight.parameters())
    for seed in range(3):
        _step(straight, first, seed)
    resumed = _model()
    resumed.load_state_dict(straight.state_dict())
    second = Muon(resumed.parameters())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    _step(straight, first, 3)
    _step(resumed, second, 3)
    assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), resumed.parameters(), strict=True))
