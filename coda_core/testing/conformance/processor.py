"""The suite of processors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from coda_core.commands import Cancel, Interrupt, Say
from coda_core.interfaces import ProcessorInfo, SlotOptions, StepInput, StepOutput
from coda_core.testing.conformance.component import Conformance

__all__ = ["ProcessorConformance"]

_STEPS: Final = 12

Frames = NDArray[np.float32]


class ProcessorConformance(Conformance):
    """What every `coda_core.interfaces.Processor` does. Its settings are to give it two slots or more."""

    say_text: ClassVar[str] = "hello world"
    """What a processor with the capability ``say`` is asked to say."""

    @pytest.fixture
    def processor(self, tmp_path: Path) -> Iterator[Any]:
        with self.entered_here(tmp_path) as processor:
            yield processor

    # What it is

    def test_says_what_it_is(self, processor: Any) -> None:
        info = processor.info
        assert isinstance(info, ProcessorInfo)
        assert info.slots >= 2, "test it with two slots or more"
        assert info.delay_frames >= 0
        assert info.fingerprint, "a conversation is stored with the fingerprint of its model"
        vocabulary = info.vocabulary
        for token in (vocabulary.padding, vocabulary.end_of_padding):
            assert 0 <= token < len(vocabulary.pieces)
        assert not vocabulary.is_text(vocabulary.padding)

    def test_has_the_methods_of_its_capabilities(self, processor: Any) -> None:
        self.has_methods(processor, "open", "step", "close")
        capabilities = processor.info.capabilities
        if capabilities & {"say", "interrupt"}:
            self.has_methods(processor, "command")
        if "park" in capabilities:
            self.has_methods(processor, "export", "restore")

    # A step

    def test_output_is_aligned_with_its_input(self, processor: Any) -> None:
        slots = [0, processor.info.slots - 1]
        begin(processor, slots)
        for step in range(_STEPS):
            output = advance(processor, {slot: voice(processor, slot, step) for slot in slots})
            check(output, len(slots), processor.info)

    def test_input_is_left_as_it_is(self, processor: Any) -> None:
        begin(processor, [0, 1])
        pcm = np.stack([voice(processor, slot, 0) for slot in (0, 1)])
        given = pcm.copy()
        processor.step(StepInput(np.array([0, 1]), pcm, np.zeros(2, np.bool_)))
        assert np.array_equal(pcm, given), "the frames belong to the caller"

    def test_output_belongs_to_the_caller(self, processor: Any) -> None:
        """What one step gave does not change in the next: readers hold on to it."""
        begin(processor, [0])
        outputs = [advance(processor, {0: voice(processor, 0, step)}) for step in range(_STEPS)]
        kept = [output.pcm.copy() for output in outputs]
        advance(processor, {0: voice(processor, 0, _STEPS)})
        assert all(np.array_equal(output.pcm, copy) for output, copy in zip(outputs, kept, strict=True))

    def test_becomes_valid_after_its_delay(self, processor: Any) -> None:
        begin(processor, [0])
        valid = [bool(advance(processor, {0: voice(processor, 0, step)}).valid[0]) for step in range(_STEPS + 8)]
        assert valid == sorted(valid), "once warm, a slot stays so"
        assert valid.index(True) <= processor.info.delay_frames + 1, "info.delay_frames says how long it warms up"

    # One conversation and its neighbours

    def test_neighbours_change_nothing(self, processor: Any) -> None:
        """A slot gives the same whoever joins, leaves, pauses or is absent beside it."""
        alone = talk(processor, 0, range(_STEPS))
        begin(processor, [0])
        beside: list[StepOutput] = []
        for step in range(_STEPS):
            frames = {0: voice(processor, 0, step)}
            if step == 2:
                begin(processor, [1], seed=7)
            if 2 <= step < 9 and step != 5:
                frames[1] = voice(processor, 1, step)
            if step == 9:
                processor.close(1)
            beside.append(only(advance(processor, frames), 0))
        assert_same(alone, beside)

    def test_slot_that_is_left_out_stands_still(self, processor: Any) -> None:
        alone = talk(processor, 0, range(_STEPS))
        begin(processor, [0, 1])
        waited: list[StepOutput] = []
        for step in range(_STEPS):
            waited.append(advance(processor, {0: voice(processor, 0, step)}))
            advance(processor, {1: voice(processor, 1, step)})
        assert_same(alone, waited)

    def test_recycled_slot_is_a_fresh_one(self, processor: Any) -> None:
        first = talk(processor, 0, range(_STEPS))
        talk(processor, 0, range(100, 100 + _STEPS), seed=9)
        assert_same(first, talk(processor, 0, range(_STEPS)))

    def test_closing_is_safe(self, processor: Any) -> None:
        """A free slot may be closed, and a slot may be closed twice: whoever cleans up need not know."""
        processor.close(0)
        begin(processor, [0])
        processor.close(0)
        processor.close(0)
        assert_same(talk(processor, 0, range(3)), talk(processor, 0, range(3)))

    # Capabilities

    def test_parked_conversation_goes_on_where_it_was(self, processor: Any, tmp_path: Path) -> None:
        if "park" not in processor.info.capabilities:
            return
        whole = talk(processor, 0, range(_STEPS))
        half = _STEPS // 2
        first = talk(processor, 0, range(half), close=False)
        state = {name: array.copy() for name, array in processor.export(0).items()}
        assert all(isinstance(array, np.ndarray) for array in state.values())
        processor.close(0)
        # In between its slot is somebody else's, and it comes back to another one, in another instance.
        talk(processor, 0, range(50, 55))
        again = tmp_path / "again"
        again.mkdir()
        with self.entered_here(again) as another:
            another.restore(1, options(), state)
            rest = [only(advance(another, {1: voice(another, 0, step)}), 0) for step in range(half, _STEPS)]
        assert_same(whole, [*first, *rest])

    def test_export_leaves_the_slot_as_it_is(self, processor: Any) -> None:
        if "park" not in processor.info.capabilities:
            return
        whole = talk(processor, 0, range(_STEPS))
        begin(processor, [0])
        looked_at = []
        for step in range(_STEPS):
            looked_at.append(advance(processor, {0: voice(processor, 0, step)}))
            processor.export(0)
        assert_same(whole, looked_at)

    def test_text_is_said(self, processor: Any) -> None:
        """A `Say` is started and finished, its tokens are marked, and neighbours do not notice."""
        if "say" not in processor.info.capabilities:
            return
        alone = talk(processor, 1, range(60))
        begin(processor, [0, 1])
        processor.command(0, Say(id=1, text=self.say_text, deadline_frames=4))
        notices, injected, beside = [], [], []
        for step in range(60):
            output = advance(processor, {slot: voice(processor, slot, step) for slot in (0, 1)})
            notices += [(notice.slot, notice.command, notice.status) for notice in output.notices]
            injected.append(bool(output.injected is not None and output.injected[0]))
            assert output.injected is None or not output.injected[1]
            beside.append(only(output, 1))
        assert notices == [(0, 1, "started"), (0, 1, "finished")]
        assert any(injected)
        assert_same(alone, beside)

    def test_text_can_be_taken_back(self, processor: Any) -> None:
        if "say" not in processor.info.capabilities:
            return
        begin(processor, [0])
        processor.command(0, Say(id=1, text=self.say_text, deadline_frames=1000))
        processor.command(0, Cancel(id=1))
        processor.command(0, Cancel(id=5))
        statuses = []
        for step in range(_STEPS):
            statuses += [notice.status for notice in advance(processor, {0: voice(processor, 0, step)}).notices]
        assert statuses == ["cancelled"]

    def test_falls_silent_when_interrupted(self, processor: Any) -> None:
        if "interrupt" not in processor.info.capabilities:
            return
        padding = processor.info.vocabulary.padding
        begin(processor, [0])
        for step in range(_STEPS):
            advance(processor, {0: voice(processor, 0, step)}, speaking=False)
        processor.command(0, Interrupt(frames=None))
        after = [advance(processor, {0: voice(processor, 0, step)}, speaking=False) for step in range(_STEPS)]
        quiet = after[2 + processor.info.delay_frames :]
        assert [int(output.token[0]) for output in quiet] == [padding] * len(quiet)
        for output in quiet:
            assert float(np.sqrt(np.mean(output.pcm[0] ** 2))) < 0.05, "it is to be silent within two frames"


def options(seed: int = 3) -> SlotOptions:
    return SlotOptions(seed=seed)


def begin(processor: Any, slots: Sequence[int], seed: int = 3) -> None:
    """Open `slots`, whoever had them before."""
    for slot in slots:
        processor.close(slot)
        assert not processor.open(slot, options(seed)), "no prompt was given"


def voice(processor: Any, speaker: int, step: int) -> Frames:
    """Return a frame of somebody's voice: a tone of their own in some noise."""
    samples, rate = processor.info.frame_samples, processor.info.sample_rate_hz
    time = (step * samples + np.arange(samples)) / rate
    noise = np.random.default_rng([speaker, step]).normal(0, 0.01, samples)
    frame: Frames = (0.2 * np.sin(2 * np.pi * (180 + 70 * speaker) * time) + noise).astype(np.float32)
    return frame


def advance(processor: Any, frames: Mapping[int, Frames], *, speaking: bool = True) -> StepOutput:
    """Step the slots of `frames`."""
    slots = sorted(frames)
    pcm = np.stack([frames[slot] for slot in slots])
    pcm.flags.writeable = False
    output: StepOutput = processor.step(StepInput(np.array(slots), pcm, np.full(len(slots), speaking)))
    return output


def talk(processor: Any, slot: int, steps: range, *, seed: int = 3, close: bool = True) -> list[StepOutput]:
    """Have a conversation in an otherwise empty processor."""
    for each in range(processor.info.slots):
        processor.close(each)
    begin(processor, [slot], seed)
    outputs = [advance(processor, {slot: voice(processor, slot, step)}) for step in steps]
    if close:
        processor.close(slot)
    return outputs


def only(output: StepOutput, row: int) -> StepOutput:
    """Return one row of a step as a step of its own."""
    rows = slice(row, row + 1)
    return StepOutput(
        pcm=output.pcm[rows],
        valid=output.valid[rows],
        token=output.token[rows],
        probability=output.probability[rows],
        failed=output.failed[rows],
        stage_s=output.stage_s,
    )


def check(output: StepOutput, count: int, info: ProcessorInfo) -> None:
    """Fail where a step's arrays are not what the contract says."""
    assert output.pcm.shape == (count, info.frame_samples)
    assert output.pcm.dtype == np.float32
    for name, kind in (("valid", np.bool_), ("token", np.int64), ("probability", np.float32), ("failed", np.bool_)):
        array = getattr(output, name)
        assert (array.shape, array.dtype) == ((count,), kind), f"{name} is to be {kind.__name__} [{count}]"
    assert not output.failed.any()
    assert np.isfinite(output.pcm).all()
    warm = output.valid
    assert ((output.token[warm] >= 0) & (output.token[warm] < len(info.vocabulary.pieces))).all()
    assert ((output.probability[warm] >= 0) & (output.probability[warm] <= 1)).all()
    assert set(output.stage_s) == {"encode", "model", "decode"}
    assert all(seconds >= 0 for seconds in output.stage_s.values())


def assert_same(expected: Sequence[StepOutput], found: Sequence[StepOutput]) -> None:
    """Fail where two conversations differ: tokens bit for bit, audio to what sums in another order leave."""
    assert len(expected) == len(found)
    for step, (one, other) in enumerate(zip(expected, found, strict=True)):
        assert one.valid[0] == other.valid[0], f"step {step}: one is warm and the other is not"
        if one.valid[0]:
            assert one.token[0] == other.token[0], f"step {step}: the tokens differ"
            assert np.allclose(one.pcm[0], other.pcm[0], atol=1e-5), f"step {step}: the audio differs"
