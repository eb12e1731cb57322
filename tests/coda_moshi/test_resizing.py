"""A processor whose batch is made anew in another size is one that was made with that size."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coda_core.commands import Say
from coda_core.interfaces import ParkedState, SlotOptions
from coda_core.parking import from_chunks, to_chunks

Voice = Callable[[int, int], NDArray[np.float32]]

FRAMES = 12
PROMPT = "you are kind"


@pytest.fixture(scope="module")
def resized(open_processor: Any, brief_folder: Path, stage: Any) -> Iterator[Any]:
    """Four slots with a prompt, of which others make what they need."""
    with open_processor(brief_folder, 4, prompt=PROMPT) as processor:
        yield stage(processor)


def lived(stage: Any, voice: Voice) -> list[Any]:
    """Fill every slot with a conversation of its own, one of which is told to say something; return all that came."""
    slots = range(stage.processor.info.slots)
    voices = {slot: voice(slot, FRAMES) for slot in slots}
    for slot in slots:
        assert stage.open(slot, seed=slot, greedy=slot == 1) == 0, "its prompt was taken in before"
    heard: list[Any] = []
    for index in range(FRAMES):
        if index == 3:
            stage.processor.command(0, Say(id=1, text="good question", deadline_frames=1))
        heard.append(stage.step({slot: frames[index] for slot, frames in voices.items()}))
        heard.append([(notice.slot, notice.status) for notice in stage.output.notices])
    stage.close(*slots)
    return heard


@pytest.mark.parametrize(("fast_step", "sizes"), [(True, (2, 3)), (False, (2,))])
def test_equal_to_one_made_with_that_size(
    open_processor: Any, brief_folder: Path, stage: Any, voice: Voice, fast_step: bool, sizes: tuple[int, ...]
) -> None:
    """Bit for bit, tokens and audio, down and up again."""
    settings = {"prompt": PROMPT, "fast_step": fast_step}
    with open_processor(brief_folder, 4, **settings) as processor:
        lived(stage(processor), voice)
        for slots in sizes:
            processor.resize(slots)
            assert processor.info.slots == slots
            found = lived(stage(processor), voice)
            with open_processor(brief_folder, slots, **settings) as fresh:
                assert found == lived(stage(fresh), voice)


def test_only_the_number_of_slots_changes(resized: Any) -> None:
    before = resized.processor.info
    resized.processor.resize(3)
    after = resized.processor.info
    assert after.slots == 3
    assert (after.fingerprint, after.delay_frames, after.defaults, after.capabilities) == (
        before.fingerprint,
        before.delay_frames,
        before.defaults,
        before.capabilities,
    )


def test_all_slots_are_fresh(open_processor: Any, brief_folder: Path, stage: Any, voice: Voice) -> None:
    with open_processor(brief_folder, 4) as processor:
        stage(processor).talk(1, voice(19, 3))
        processor.resize(2)
        batch = processor.batch
        for state in (batch.encoder, batch.language_model, batch.decoder):
            for row in state:
                assert row.tensor.shape[row.axis] == 2, row.name
                assert bool((row.tensor == row.fresh).all()), row.name
        for slot in (0, 1):
            processor.open(slot, SlotOptions())
        with pytest.raises(IndexError):
            processor.open(2, SlotOptions())


def test_what_was_parked_before_goes_on_after(resized: Any, voice: Voice) -> None:
    """To rounding, as sums come out otherwise in a batch of another size, and with the same tokens."""
    resized.processor.resize(4)
    frames = voice(20, 2 * FRAMES)
    whole = resized.talk(3, frames, seed=5)
    resized.open(3, seed=5)
    for frame in frames[:FRAMES]:
        resized.step({3: frame})
    parked = ParkedState(
        conversation="c",
        frame=FRAMES,
        fingerprint=resized.processor.info.fingerprint,
        options=SlotOptions(seed=5),
        slot=resized.processor.export(3),
        lane=b"",
        followers={},
    )
    file = list(to_chunks(parked))
    resized.close(3)

    resized.processor.resize(2)
    again = from_chunks(file)
    resized.processor.restore(1, again.options, again.slot)
    rest = [resized.step({1: frame})[1] for frame in frames[FRAMES:]]
    resized.close(1)
    assert [int(row.token[0]) for row in rest] == whole.token[FRAMES:].tolist()
    for row, expected in zip(rest, whole.pcm[FRAMES:], strict=True):
        np.testing.assert_allclose(row.pcm[0], expected, rtol=0, atol=1e-5)


def test_prompts_are_kept_as_before(resized: Any, voice: Voice) -> None:
    """The stack's own is taken in again at once, a conversation's own when somebody asks for it."""
    resized.processor.resize(2)
    steps = resized.open(0, prompt="good day")
    assert steps > 0
    for frame in voice(21, steps):
        resized.step({0: frame})
    resized.close(0)
    assert resized.open(0, prompt="good day") == 0
    resized.close(0)
    resized.processor.resize(3)
    assert resized.open(0, prompt="good day") == steps
    assert resized.open(1) == 0
    resized.close(0, 1)


def test_a_slot_that_is_taken_is_no_time_for_it(resized: Any, voice: Voice) -> None:
    resized.processor.resize(3)
    resized.open(2, seed=1)
    with pytest.raises(ValueError, match=r"slots \[2\] hold conversations"):
        resized.processor.resize(2)
    resized.step({2: voice(22, 1)[0]})
    resized.close(2)
    assert resized.processor.info.slots == 3


def test_the_memory_of_the_batch_before_is_given_back_and_the_weights_stay(resized: Any) -> None:
    resized.processor.resize(3)
    batch = resized.processor.batch
    model = batch.generator.lm_model
    weights = [weight.data_ptr() for weight in model.parameters()]
    states = (batch.encoder, batch.language_model, batch.decoder)
    before = [weakref.ref(row.tensor) for state in states for row in state]
    del batch, states
    resized.processor.resize(2)
    assert [reference() for reference in before] == [None] * len(before)
    assert resized.processor.batch.generator.lm_model is model
    assert [weight.data_ptr() for weight in model.parameters()] == weights


def test_memory_is_watched_from_then_on(resized: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fewer slots take is what more would have to come on top of."""
    begun: list[int] = []
    monkeypatch.setattr(resized.processor.watch, "begin", lambda: begun.append(resized.processor.info.slots))
    resized.processor.resize(2)
    assert begun == [2]
    assert resized.processor.memory().used_bytes > 0


def test_a_resized_processor_leaves_no_model_behind(open_processor: Any, brief_folder: Path) -> None:
    with open_processor(brief_folder, 3) as processor:
        processor.resize(2)
        model = weakref.ref(processor.batch.generator.lm_model)
        codec = weakref.ref(processor.batch.mimi)
    gc.collect()
    assert model() is None
    assert codec() is None
