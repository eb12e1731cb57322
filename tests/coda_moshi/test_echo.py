from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from coda_core.fields import fields_of
from coda_core.interfaces import Context, Processor, SlotOptions, StepInput
from coda_core.testing import ManualClock
from coda_moshi.config import EchoConfig
from coda_moshi.echo import Echo, open_echo


def _echo(conversations: int = 4, delay_frames: int = 1) -> Echo:
    return Echo(EchoConfig(conversations=conversations, delay_frames=delay_frames), ManualClock())


def _batch(frames: dict[int, float]) -> StepInput:
    slots = np.array(sorted(frames), np.int64)
    pcm = np.repeat(np.array([frames[slot] for slot in sorted(frames)], np.float32)[:, None], 1920, axis=1)
    return StepInput(slots, pcm, np.zeros(len(slots), np.bool_))


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_the_caller_comes_back_after_the_delay(delay: int) -> None:
    echo = _echo(delay_frames=delay)
    echo.open(2, SlotOptions())
    heard, valid = [], []
    for step in range(10):
        output = echo.step(_batch({2: float(step + 1)}))
        assert output.pcm.shape == (1, 1920)
        assert output.pcm.dtype == np.float32
        assert not output.failed.any()
        heard.append(float(output.pcm[0, 0]))
        valid.append(bool(output.valid[0]))
    assert heard == [0.0] * delay + [float(step + 1) for step in range(10 - delay)]
    assert valid == [False] * delay + [True] * (10 - delay)


def test_it_says_nothing_and_its_vocabulary_agrees() -> None:
    echo = _echo()
    output = echo.step(_batch({0: 1.0, 3: 1.0}))
    vocabulary = echo.info.vocabulary
    assert output.token.tolist() == [vocabulary.padding] * 2
    assert output.token.dtype == np.int64
    assert output.probability.tolist() == [1.0, 1.0]
    assert output.probability.dtype == np.float32
    assert vocabulary.padding != vocabulary.end_of_padding
    assert not any(vocabulary.is_text(token) for token in range(-1, 4))
    assert set(output.stage_s) == {"encode", "model", "decode"}


def test_what_it_returns_belongs_to_the_caller() -> None:
    echo = _echo(delay_frames=0)
    batch = _batch({0: 0.5})
    output = echo.step(batch)
    output.pcm[:] = 9.0
    batch.pcm[:] = 9.0
    assert echo.step(_batch({0: 0.25})).pcm[0, 0] == 0.25
    delayed = _echo(delay_frames=1)
    batch = _batch({0: 0.5})
    delayed.step(batch)
    batch.pcm[:] = 9.0
    assert delayed.step(_batch({0: 0.25})).pcm[0, 0] == 0.5


def test_a_recycled_slot_holds_nothing_of_the_one_before() -> None:
    echo = _echo(delay_frames=2)
    for step in range(5):
        echo.step(_batch({1: 1.0 + step}))
    echo.close(1)
    echo.close(1)
    echo.open(1, SlotOptions())
    outputs = [echo.step(_batch({1: 0.5})) for _ in range(3)]
    assert [float(output.pcm[0].max()) for output in outputs] == [0.0, 0.0, 0.5]
    assert [bool(output.valid[0]) for output in outputs] == [False, False, True]


@given(schedule=st.lists(st.sets(st.integers(0, 3), min_size=1), min_size=1, max_size=30), delay=st.integers(0, 3))
def test_a_slot_depends_on_its_own_input_alone(schedule: list[set[int]], delay: int) -> None:
    def frame(slot: int, step: int) -> float:
        return slot * 100.0 + step + 1

    together = _echo(delay_frames=delay)
    heard: dict[int, list[NDArray[np.float32]]] = {slot: [] for slot in range(4)}
    for step, slots in enumerate(schedule):
        output = together.step(_batch({slot: frame(slot, step) for slot in slots}))
        for row, slot in enumerate(sorted(slots)):
            heard[slot].append(output.pcm[row])
    for slot in range(4):
        alone = _echo(delay_frames=delay)
        own = [step for step, slots in enumerate(schedule) if slot in slots]
        expected = [alone.step(_batch({slot: frame(slot, step)})).pcm[0] for step in own]
        assert len(expected) == len(heard[slot])
        assert all(np.array_equal(a, b) for a, b in zip(expected, heard[slot], strict=True))


def test_the_factory_makes_a_processor(tmp_path: Path) -> None:
    context = Context(
        base_dir=tmp_path,
        cache_dir=tmp_path,
        clock=ManualClock(),
        logger=logging.getLogger("coda.test"),
        progress=lambda what, done, total: None,
    )
    with open_echo(EchoConfig(conversations=3, delay_frames=4), context) as echo:
        processor: Processor = echo
        assert processor.info.slots == 3
        assert processor.info.delay_frames == 4
    assert all(field.known.help for field in fields_of(EchoConfig))


def test_another_delay_is_another_processor() -> None:
    assert _echo(delay_frames=1).info.fingerprint != _echo(delay_frames=2).info.fingerprint
    assert _echo(delay_frames=1).info.fingerprint == _echo(delay_frames=1, conversations=2).info.fingerprint
