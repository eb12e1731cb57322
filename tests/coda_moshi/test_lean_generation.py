"""The fast step of whole conversations: what they come to without it, whoever else is in the batch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from moshi.models import LMModel, MimiModel
from numpy.typing import NDArray

from coda_core.interfaces import SlotOptions

Voice = Callable[[int, int], NDArray[np.float32]]
SLOTS = 4
FAST, STOCK = 0, 1


@pytest.fixture(scope="module")
def both(open_processor: Any, late_folder: Path, stage: Any) -> Iterator[tuple[Any, Any]]:
    with (
        open_processor(late_folder, SLOTS) as fast,
        open_processor(late_folder, SLOTS, fast_step=False) as stock,
    ):
        yield stage(fast), stage(stock)


def test_the_setting_leaves_all_modules_as_they_are(
    open_processor: Any, brief_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[LMModel] = []

    def noted(_: MimiModel, lm: LMModel) -> dict[str, str]:
        made.append(lm)
        return {}

    monkeypatch.setattr("coda_moshi.lifecycle.make_lean", noted)
    with open_processor(brief_folder, 1, fast_step=False):
        assert not made
    with open_processor(brief_folder, 1):
        assert [type(lm) for lm in made] == [LMModel]


def same(ours: Any, theirs: Any) -> None:
    for column in ("token", "probability", "valid", "failed"):
        assert np.array_equal(getattr(ours, column), getattr(theirs, column)), column
    np.testing.assert_allclose(ours.pcm, theirs.pcm, rtol=0, atol=1e-6)


@pytest.mark.parametrize("options", [{"greedy": True}, {"seed": 3}, {"text_temperature": 0, "seed": 4}])
def test_a_conversation_is_the_same(both: tuple[Any, Any], voice: Voice, options: dict[str, Any]) -> None:
    ours, theirs = (stage.talk(1, voice(21, 14), **options) for stage in both)
    assert len(set(ours.token.tolist())) > 3
    same(ours, theirs)


def test_conversations_that_come_and_go_are_the_same(both: tuple[Any, Any], voice: Voice) -> None:
    """Greedy and sampling slots in one batch, each of which misses some steps."""
    frames = voice(22, 20)
    random = np.random.default_rng(5)
    present = random.random((20, SLOTS)) < 0.7
    for stage in both:
        for slot in range(SLOTS):
            stage.open(slot, greedy=slot == 0, seed=slot)
    for step, frame in enumerate(frames):
        if step == 9:
            for stage in both:
                stage.close(2)
                stage.open(2, greedy=True)
        stepping = {int(slot): frame * (1 + slot) for slot in np.flatnonzero(present[step])}
        ours, theirs = (stage.step(stepping) for stage in both)
        for slot in stepping:
            same(ours[slot], theirs[slot])
    for stage in both:
        stage.close(*range(SLOTS))


@pytest.mark.parametrize(("before", "after"), [(FAST, STOCK), (STOCK, FAST)])
def test_a_parked_slot_goes_on_with_or_without_it(
    both: tuple[Any, Any], voice: Voice, join_rows: Any, before: int, after: int
) -> None:
    frames = voice(23, 14)
    whole = both[after].talk(0, frames, seed=6)
    both[before].open(0, seed=6)
    heard = [both[before].step({0: frame})[0] for frame in frames[:8]]
    state = both[before].processor.export(0)
    both[before].close(0)
    both[after].processor.restore(3, SlotOptions(seed=6), state)
    heard += [both[after].step({3: frame})[3] for frame in frames[8:]]
    both[after].close(3)
    same(join_rows(heard), whole)


def test_modules_that_stay_as_they_are_are_named_in_the_log(
    open_processor: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, brief_folder: Path
) -> None:
    with caplog.at_level(logging.INFO), open_processor(brief_folder, 1):
        pass
    assert "fast step: all modules that have a leaner version take it" in caplog.text
