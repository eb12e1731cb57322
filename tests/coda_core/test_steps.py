"""A step as columns, and the records that are made of it."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from coda_core.interfaces import StepRecord, StepRecords


def made(conversation: str, frame: int, *, warm: bool = True, injected: bool = False, missed: int = 0) -> StepRecord:
    samples = np.full(4, frame / 8, np.float32)
    return StepRecord(
        conversation=conversation,
        frame=frame,
        heard=samples,
        spoken=-samples if warm else None,
        heard_dbfs=-20.5,
        spoken_dbfs=-120.0,
        caller_speaking=frame % 2 == 0,
        moshi_speaking=frame % 3 == 0,
        token=frame + 7,
        probability=0.25,
        lateness_s=-0.01 * frame,
        injected=injected,
        hangover_frames=4,
        missed_before=missed,
    )


def fields(record: StepRecord) -> dict[str, object]:
    """Return what a record has, in types that can be compared."""
    plain = attrs.asdict(record)
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in plain.items()}


RECORDS = [made("a", 3), made("b", 0, warm=False), made("c", 12, injected=True, missed=5)]
STEP = StepRecords.of(RECORDS)


def test_records_come_back_one_by_one_and_all_at_once() -> None:
    assert len(STEP) == 3
    assert [fields(each) for each in STEP] == [fields(each) for each in RECORDS]
    assert [fields(STEP[row]) for row in range(-3, 3)] == [fields(each) for each in RECORDS] * 2
    assert [fields(each) for each in STEP[1:]] == [fields(each) for each in RECORDS[1:]]
    with pytest.raises(IndexError):
        STEP[3]


def test_records_hold_pythons_own_values() -> None:
    for record in (*STEP, STEP[0]):
        kinds = {name: type(value) for name, value in fields(record).items()}
        assert kinds["frame"] is kinds["token"] is kinds["missed_before"] is int
        assert kinds["heard_dbfs"] is kinds["probability"] is kinds["lateness_s"] is float
        assert kinds["caller_speaking"] is kinds["injected"] is bool


def test_a_step_can_be_narrowed() -> None:
    narrow = STEP.narrow([0, 2])
    assert [fields(each) for each in narrow] == [fields(RECORDS[0]), fields(RECORDS[2])]
    assert len(STEP.narrow([])) == 0


def test_a_follower_that_was_too_slow_is_told_how_much_it_missed() -> None:
    told = STEP.after_missing({"a": 2, "x": 9})
    assert [record.missed_before for record in told] == [2, 0, 0]
    assert [record.missed_before for record in STEP] == [0, 0, 5]


def test_columns_may_be_left_out_where_nothing_was_forced_or_missed() -> None:
    bare = attrs.evolve(STEP, injected=None, missed_before=None)
    assert [(record.injected, record.missed_before) for record in bare] == [(False, 0)] * 3
    assert (bare[2].injected, bare[2].missed_before) == (False, 0)
    assert len(StepRecords.of([])) == 0
