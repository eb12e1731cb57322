"""What a step leaves of each conversation in it: a frame for readers and a record for followers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from coda_core.audio import AudioFrame
from coda_core.errors import ModelError
from coda_core.interfaces import ProcessorInfo, StepOutput, StepRecords
from coda_streaming.activity import Side
from coda_streaming.lane import StreamLane

__all__ = ["check", "frames_and_records", "silenced"]


def frames_and_records(
    lanes: Sequence[StreamLane],
    arrival_s: NDArray[np.float64],
    heard: Side,
    spoken: Side,
    output: StepOutput,
    done_s: float,
    info: ProcessorInfo,
    hangover_frames: int,
) -> tuple[Sequence[AudioFrame], StepRecords]:
    """Return a frame and a record for each of `lanes`, in their order and without those that failed.

    Of what a frame costs the worker this is much, so nothing is given by name and the loop is `map`'s.
    """
    valid = output.valid
    records = StepRecords(
        tuple([lane.conversation for lane in lanes]),
        np.array([lane.frame - 1 for lane in lanes], np.int64),
        heard.frames,
        spoken.frames,
        valid,
        heard.dbfs,
        spoken.dbfs,
        heard.speaking,
        spoken.speaking,
        np.where(valid, output.token, info.vocabulary.padding),
        output.probability,
        done_s - info.frame_s - arrival_s,
        output.injected,
        hangover_frames,
    )
    if output.failed.any():
        records = records.narrow(np.flatnonzero(~output.failed).tolist())
    frames = map(
        AudioFrame,
        records.conversation,
        records.frame.tolist(),
        records.spoken,
        records.heard,
        repeat(info.sample_rate_hz),
        records.valid.tolist(),
        records.lateness_s.tolist(),
        records.caller_speaking.tolist(),
        records.moshi_speaking.tolist(),
    )
    return tuple(frames), records


def silenced(lanes: Sequence[StreamLane], pcm: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return the frames of `lanes` with silence for samples that are not finite, which are counted."""
    bad = ~np.isfinite(pcm)
    for lane, count in zip(lanes, bad.sum(axis=1).tolist(), strict=True):
        lane.nan_heard += count
    sound = np.where(bad, np.float32(0), pcm)
    sound.flags.writeable = False
    return list(sound)


def check(output: StepOutput, shape: tuple[int, ...]) -> None:
    """Raise `ModelError` where a processor returned something else than the answer to `shape`: ``[n, samples]``."""
    expected = dict.fromkeys(("valid", "token", "probability", "failed"), shape[:1]) | {"pcm": shape}
    if output.injected is not None:
        expected["injected"] = shape[:1]
    for name, wanted in expected.items():
        found = getattr(getattr(output, name, None), "shape", None)
        if found != wanted:
            raise ModelError(
                f"the processor returned a {type(output).__name__} whose {name} has shape {found}; expected {wanted}. "
                "This is a defect of its plugin."
            )
    if not all(isinstance(seconds, (int, float)) for seconds in output.stage_s.values()):
        raise ModelError("the processor returned a stage_s that holds no seconds. This is a defect of its plugin.")
