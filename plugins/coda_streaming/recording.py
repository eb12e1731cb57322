"""What a step leaves of each conversation in it: a frame for readers and a record for followers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from coda_core.audio import AudioFrame
from coda_core.errors import ModelError
from coda_core.interfaces import ProcessorInfo, StepOutput, StepRecord
from coda_streaming.activity import Side
from coda_streaming.lane import StreamLane

__all__ = ["check", "frames_and_records"]


def frames_and_records(
    lanes: Sequence[StreamLane],
    arrival_s: NDArray[np.float64],
    heard: Side,
    spoken: Side,
    output: StepOutput,
    done_s: float,
    info: ProcessorInfo,
    hangover_frames: int,
) -> tuple[list[AudioFrame], list[StepRecord]]:
    """Return a frame and a record for each of `lanes`, in their order and without those that failed.

    Everything that is there once for each lane is turned into Python's own values at once, and nothing is given by
    name: this loop is what a frame costs the worker.
    """
    frames: list[AudioFrame] = []
    records: list[StepRecord] = []
    rate, padding = info.sample_rate_hz, info.vocabulary.padding
    for (
        lane,
        caller_pcm,
        pcm,
        caller_level,
        level,
        caller_speaking,
        speaking,
        lateness,
        valid,
        token,
        probability,
        failed,
        injected,
    ) in zip(
        lanes,
        heard.pcm,
        spoken.pcm,
        heard.dbfs.tolist(),
        spoken.dbfs.tolist(),
        heard.speaking.tolist(),
        spoken.speaking.tolist(),
        (done_s - info.frame_s - arrival_s).tolist(),
        output.valid.tolist(),
        output.token.tolist(),
        output.probability.tolist(),
        output.failed.tolist(),
        [False] * len(lanes) if output.injected is None else output.injected.tolist(),
        strict=True,
    ):
        if failed:
            continue
        conversation, index = lane.conversation, lane.frame - 1
        frames.append(
            AudioFrame(conversation, index, pcm, caller_pcm, rate, valid, lateness, caller_speaking, speaking)
        )
        records.append(
            StepRecord(
                conversation,
                index,
                caller_pcm,
                pcm if valid else None,
                caller_level,
                level,
                caller_speaking,
                speaking,
                token if valid else padding,
                probability,
                lateness,
                injected,
                hangover_frames,
            )
        )
    return frames, records


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
