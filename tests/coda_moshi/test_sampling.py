"""The noise is a pure function, and what is drawn with it follows the softmax."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from coda_moshi.sampling import SlotSampler, _gumbel, mix, seed_key, stream_keys, stream_salts

CPU = torch.device("cpu")
BITS = 2**32


def mix_in_python(x: int) -> int:
    x ^= x >> 16
    x = x * 0x21F0AAAD % BITS
    x ^= x >> 15
    x = x * 0x735A2D97 % BITS
    return x ^ (x >> 15)


def test_mix_is_the_hash_that_it_names() -> None:
    values = [0, 1, 2, 1000, 2**31, BITS - 1, 123456789]
    assert mix(torch.tensor(values)).tolist() == [mix_in_python(value) for value in values]


def test_mix_leaves_its_argument_alone() -> None:
    values = torch.arange(5)
    mix(values)
    assert values.tolist() == [0, 1, 2, 3, 4]


def test_mix_is_a_bijection_where_it_was_tried() -> None:
    assert len(set(mix(torch.arange(200_000)).tolist())) == 200_000


def test_one_flipped_bit_flips_half_of_the_hash() -> None:
    values = torch.randint(0, BITS, (4000,), generator=torch.Generator().manual_seed(1))
    for bit in range(32):
        changed = mix(values) ^ mix(values ^ (1 << bit))
        flips = sum(((changed >> place) & 1).float().mean().item() for place in range(32))
        assert flips == pytest.approx(16, abs=0.3)


def test_every_bit_of_a_seed_counts() -> None:
    seeds = [0, 1, -1, 2**31, 2**32, 2**63, 2**64 - 2, 12 + 2**40]
    assert len({seed_key(seed) for seed in seeds}) == len(seeds)
    assert seed_key(-1) == seed_key(2**64 - 1)
    assert all(0 <= seed_key(seed) < BITS for seed in seeds)


def test_keys_differ_by_seed_frame_and_stream_and_are_the_same_in_any_slot() -> None:
    seeds = torch.tensor([seed_key(seed) for seed in (1, 2, 1)])
    salts = stream_salts(9, CPU)
    keys = [stream_keys(seeds, torch.full((3,), frame), salts) for frame in range(100)]
    assert all(torch.equal(key[0], key[2]) for key in keys)
    assert len(set(torch.stack([key[:2] for key in keys]).flatten().tolist())) == 100 * 2 * 9


def draws(logits: torch.Tensor, count: int, *, temperature: float, top_k: int, most: int) -> torch.Tensor:
    """Draw `count` tokens from one row of logits: a slot for each, a frame apart."""
    sampler = SlotSampler(count, len(logits), most, CPU)
    for slot in range(count):
        sampler.configure(slot, temperature=temperature, top_k=top_k)
    rows = logits.expand(count, -1).contiguous()
    seeds = torch.full((count,), seed_key(7))
    keys = stream_keys(seeds, torch.arange(count), stream_salts(3, CPU))
    return sampler.draw(rows, rows.argmax(1), keys[:, 2])


@pytest.mark.parametrize(("temperature", "top_k", "most"), [(1.0, 40, 40), (0.7, 40, 40), (1.3, 10, 25)])
def test_frequencies_follow_the_softmax(temperature: float, top_k: int, most: int) -> None:
    """Chi-square against the softmax over the k likeliest; the bound is passed by chance once in 10,000 times."""
    logits = torch.randn(40, generator=torch.Generator().manual_seed(3))
    count = 20_000
    tokens = draws(logits, count, temperature=temperature, top_k=top_k, most=most)
    kept = logits.topk(top_k).indices
    expected = torch.zeros(40).scatter(0, kept, (logits[kept] / temperature).softmax(0)) * count
    found = tokens.bincount(minlength=40)
    assert not found[expected == 0].any()
    kept = expected > 5
    chi_square = float(((found - expected) ** 2 / expected)[kept].sum())
    freedom = int(kept.sum()) - 1
    # Wilson and Hilferty's approximation of the distribution's tail; 3.719 is the normal one's.
    bound = freedom * (1 - 2 / (9 * freedom) + 3.719 * np.sqrt(2 / (9 * freedom))) ** 3
    assert chi_square < bound


def test_neighbouring_frames_and_streams_are_independent() -> None:
    """Chi-square of pairs drawn in frames and codebooks next to each other, on four equal tokens."""
    count = 20_000
    sampler = SlotSampler(count, 4, 4, CPU)
    for slot in range(count):
        sampler.configure(slot, temperature=1.0, top_k=4)
    keys = stream_keys(torch.full((count,), seed_key(1)), torch.arange(count), stream_salts(2, CPU))
    flat = torch.zeros(count, 4)
    first, second = (sampler.draw(flat, flat.argmax(1), keys[:, stream]) for stream in range(2))
    for pairs in (first * 4 + second, first[:-1] * 4 + first[1:]):
        found = pairs.bincount(minlength=16).float()
        expected = len(pairs) / 16
        assert float(((found - expected) ** 2 / expected).sum()) < 44.3  # 15 degrees of freedom, once in 10,000


def test_each_slot_draws_by_its_own_settings() -> None:
    logits = torch.randn(6, 30, generator=torch.Generator().manual_seed(5))
    keys = mix(torch.arange(1, 7))
    sampler = SlotSampler(6, 30, 20, CPU)
    sampler.configure(0, temperature=1.0, top_k=20)
    sampler.configure(1, temperature=0.0, top_k=20)
    sampler.configure(2, temperature=50.0, top_k=2)
    tokens = sampler.draw(logits, logits.argmax(1), keys)
    assert tokens[1] == logits[1].argmax()
    assert tokens[2] in logits[2].topk(2).indices
    assert torch.equal(tokens[3:], logits[3:].argmax(1))
    for slot in range(6):
        alone = SlotSampler(1, 30, 20, CPU)
        if slot == 0:
            alone.configure(0, temperature=1.0, top_k=20)
        if slot == 2:
            alone.configure(0, temperature=50.0, top_k=2)
        row = logits[slot : slot + 1]
        assert alone.draw(row, row.argmax(1), keys[slot : slot + 1])[0] == tokens[slot]


def test_extreme_noise_is_finite() -> None:
    noise = _gumbel(torch.tensor([0, 1, BITS // 2, BITS - 2, BITS - 1]))
    assert noise.isfinite().all()
    assert (noise.diff() <= 0).all()
