"""Many conversations: each as if it were alone, whatever its neighbours do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

Voice = Callable[[int, int], NDArray[np.float32]]
SLOTS = 5


@attrs.define(eq=False)
class Guest:
    """A conversation of a schedule: which frames it brings, how it samples, and what became of it."""

    frames: NDArray[np.float32]
    options: dict[str, Any]
    slot: int = -1
    heard: list[Any] = attrs.field(factory=list)
    poisoned: bool = False


@pytest.fixture(scope="module")
def five(open_processor: Any, brief_folder: Path, stage: Any) -> Iterator[Any]:
    with open_processor(brief_folder, SLOTS) as processor:
        yield stage(processor)


def guests(random: np.random.Generator, voice: Voice, count: int) -> list[Guest]:
    choices: tuple[dict[str, Any], ...] = (
        {"greedy": True},
        {},
        {"text_temperature": 1.3, "audio_top_k": 5},
        {"audio_temperature": 0.4, "text_top_k": 3},
    )
    return [
        Guest(
            frames=voice(int(random.integers(1_000_000)), int(random.integers(5, 16))),
            options={**choices[int(random.integers(len(choices)))], "seed": int(random.integers(2**40))},
        )
        for _ in range(count)
    ]


def poison(processor: Any, slot: int) -> None:
    """Put NaN into the newest keys and values of the slot, as an overflow in the model would."""
    with torch.inference_mode():
        for row in processor.batch.language_model:
            if row.name.endswith("kv_cache.cache"):
                row.tensor.select(row.axis, slot).fill_(torch.nan)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equal_to_being_alone_under_any_schedule(five: Any, voice: Voice, join_rows: Any, seed: int) -> None:
    random = np.random.default_rng(seed)
    waiting = guests(random, voice, 7)
    live: list[Guest] = []
    gone: list[Guest] = []
    everyone = list(waiting)
    victim = everyone[int(random.integers(len(everyone)))]
    while waiting or live:
        free = sorted(set(range(SLOTS)) - {guest.slot for guest in live})
        if waiting and free and random.random() < 0.5:
            guest = waiting.pop()
            guest.slot = int(random.choice(free))
            five.open(guest.slot, **guest.options)
            live.append(guest)
        # Whoever brings no frame in this tick is paused.
        stepping = [guest for guest in live if random.random() < 0.7]
        if victim in stepping and len(victim.heard) == 4:
            poison(five.processor, victim.slot)
            victim.poisoned = True
        if stepping:
            output = five.step({guest.slot: guest.frames[len(guest.heard)] for guest in stepping})
            for guest in stepping:
                guest.heard.append(output[guest.slot])
        for guest in list(live):
            failed = bool(guest.heard and guest.heard[-1].failed[0])
            leaves = random.random() < 0.02 and len(guest.heard) > 0
            if failed or leaves or len(guest.heard) == len(guest.frames):
                five.close(guest.slot)
                live.remove(guest)
                gone.append(guest)
    assert len(gone) == len(everyone)
    for guest in everyone:
        assert guest.heard[-1].failed[0] == guest.poisoned
        whole = guest.heard[:-1] if guest.poisoned else guest.heard
        assert join_rows(whole) == five.talk(guest.slot, guest.frames[: len(whole)], **guest.options)


def test_the_slot_does_not_matter(five: Any, voice: Voice) -> None:
    frames = voice(8, 12)
    assert five.talk(0, frames, seed=3) == five.talk(4, frames, seed=3)


def test_batches_of_other_sizes_give_the_same_tokens(
    open_processor: Any, brief_folder: Path, stage: Any, five: Any, voice: Voice
) -> None:
    frames = voice(9, 10)
    for conversations in (1, 9):
        with open_processor(brief_folder, conversations) as processor:
            for options in ({"greedy": True}, {"seed": 12}):
                heard = stage(processor).talk(conversations - 1, frames, **options)
                among_five = five.talk(2, frames, **options)
                assert heard.token.tolist() == among_five.token.tolist()
                np.testing.assert_allclose(heard.pcm, among_five.pcm, rtol=0, atol=1e-5)


def sizes(processor: Any) -> list[tuple[str, tuple[int, ...]]]:
    states = (processor.batch.encoder, processor.batch.language_model, processor.batch.decoder)
    return [(row.name, tuple(row.tensor.shape)) for state in states for row in state]


def test_nothing_grows_when_windows_are_full_and_equality_holds(five: Any, voice: Voice, join_rows: Any) -> None:
    """Six windows of the language model, among neighbours that come and go."""
    frames, others = voice(10, 36), voice(11, 36)
    alone = five.talk(1, frames, seed=4)
    before = sizes(five.processor)
    five.open(1, seed=4)
    heard = []
    for tick, frame in enumerate(frames):
        if tick % 7 == 0:
            five.close(3)
            five.open(3, seed=tick)
        heard.append(five.step({1: frame, 3: others[tick]})[1])
    five.close(1, 3)
    assert join_rows(heard) == alone
    assert sizes(five.processor) == before


def test_probabilities_stay_with_their_tokens_over_a_pause(five: Any, voice: Voice, join_rows: Any) -> None:
    frames, neighbour = voice(12, 12), voice(13, 12)
    alone = five.talk(0, frames, seed=1)
    five.open(0, seed=1)
    five.open(1)
    heard = [five.step({0: frame})[0] for frame in frames[:5]]
    for frame in neighbour:
        five.step({1: frame})
    heard += [five.step({0: frame})[0] for frame in frames[5:]]
    five.close(0, 1)
    assert join_rows(heard) == alone
