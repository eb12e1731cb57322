"""What followers get of a step: a column for each thing that is known, and a record of each conversation on demand.

A follower that has something to do for every conversation reads records; one that seldom has reads columns, and looks
for the few conversations in which something happened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Final, Self, overload

import attrs

from coda_core.records import record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["StepRecord", "StepRecords"]


@record(eq=False)
class StepRecord:
    """One conversation's step, as followers get it. Read-only; arrays are shared."""

    conversation: str
    frame: int
    """Index of the step in its conversation, from 0."""
    heard: NDArray[np.float32]
    """``[frame_samples]``"""
    spoken: NDArray[np.float32] | None
    """``[frame_samples]``; None while warming up."""
    heard_dbfs: float
    """RMS level, 0 dBFS being a full-scale square wave; -120 for silence."""
    spoken_dbfs: float
    caller_speaking: bool
    moshi_speaking: bool
    token: int
    """The text token of this step; the vocabulary's padding while warming up."""
    probability: float
    lateness_s: float
    injected: bool = False
    """Whether `token` was forced by a `Say` or a prompt."""
    hangover_frames: int = 0
    """Quiet frames at the end of speech that still count as speech in `caller_speaking` and `moshi_speaking`."""
    missed_before: int = 0
    """Records of this conversation that this follower was too slow for since the last one it got."""


@record(eq=False)
class StepRecords(Sequence[StepRecord]):
    """The records of one step for all conversations in it, no two of the same one. Read-only; arrays are shared.

    A sequence of `StepRecord`, each made when it is asked for. Its attributes are the columns of what the records
    have, so ``step.token[row] == step[row].token``.
    """

    conversation: Sequence[str]
    """``[n]``"""
    frame: NDArray[np.int64]
    """``[n]``"""
    heard: Sequence[NDArray[np.float32]]
    """``n`` times ``[frame_samples]``"""
    spoken: Sequence[NDArray[np.float32]]
    """``n`` times ``[frame_samples]``; means nothing where `valid` is False."""
    valid: NDArray[np.bool_]
    """``[n]``; False while a conversation is warming up: its record's `StepRecord.spoken` is None."""
    heard_dbfs: NDArray[np.float32]
    """``[n]``"""
    spoken_dbfs: NDArray[np.float32]
    """``[n]``"""
    caller_speaking: NDArray[np.bool_]
    """``[n]``"""
    moshi_speaking: NDArray[np.bool_]
    """``[n]``"""
    token: NDArray[np.int64]
    """``[n]``"""
    probability: NDArray[np.float32]
    """``[n]``"""
    lateness_s: NDArray[np.float64]
    """``[n]``"""
    injected: NDArray[np.bool_] | None = None
    """``[n]``; None where no token was forced."""
    hangover_frames: int = 0
    """The same for all."""
    missed_before: NDArray[np.int64] | None = None
    """``[n]``; None where nothing was missed."""

    @classmethod
    def of(cls, records: Sequence[StepRecord]) -> Self:
        """Return records as columns: for who tests a follower. They are of different conversations."""
        import numpy as np

        if len({each.hangover_frames for each in records}) > 1:
            raise ValueError("the records of one step have different hangover_frames")
        return cls(
            conversation=tuple(each.conversation for each in records),
            frame=np.array([each.frame for each in records], np.int64),
            heard=tuple(each.heard for each in records),
            spoken=tuple(np.zeros_like(each.heard) if each.spoken is None else each.spoken for each in records),
            valid=np.array([each.spoken is not None for each in records], np.bool_),
            heard_dbfs=np.array([each.heard_dbfs for each in records], np.float32),
            spoken_dbfs=np.array([each.spoken_dbfs for each in records], np.float32),
            caller_speaking=np.array([each.caller_speaking for each in records], np.bool_),
            moshi_speaking=np.array([each.moshi_speaking for each in records], np.bool_),
            token=np.array([each.token for each in records], np.int64),
            probability=np.array([each.probability for each in records], np.float32),
            lateness_s=np.array([each.lateness_s for each in records], np.float64),
            injected=np.array([each.injected for each in records], np.bool_),
            hangover_frames=records[0].hangover_frames if records else 0,
            missed_before=np.array([each.missed_before for each in records], np.int64),
        )

    def narrow(self, rows: Sequence[int]) -> Self:
        """Return the same step for some of its conversations."""
        return attrs.evolve(
            self,
            conversation=tuple([self.conversation[row] for row in rows]),
            heard=[self.heard[row] for row in rows],
            spoken=[self.spoken[row] for row in rows],
            injected=None if self.injected is None else self.injected[rows],
            missed_before=None if self.missed_before is None else self.missed_before[rows],
            **{name: getattr(self, name)[rows] for name in _ARRAYS},
        )

    def after_missing(self, missed: Mapping[str, int]) -> Self:
        """Return the same step for a follower that was too slow for so many records of some conversations."""
        import numpy as np

        return attrs.evolve(self, missed_before=np.array([missed.get(name, 0) for name in self.conversation], np.int64))

    def __len__(self) -> int:
        return len(self.conversation)

    @overload
    def __getitem__(self, index: int) -> StepRecord: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[StepRecord]: ...

    def __getitem__(self, index: int | slice) -> StepRecord | Sequence[StepRecord]:
        if isinstance(index, slice):
            return tuple(self)[index]
        row = range(len(self))[index]
        return StepRecord(
            conversation=self.conversation[row],
            frame=int(self.frame[row]),
            heard=self.heard[row],
            spoken=self.spoken[row] if self.valid[row] else None,
            heard_dbfs=float(self.heard_dbfs[row]),
            spoken_dbfs=float(self.spoken_dbfs[row]),
            caller_speaking=bool(self.caller_speaking[row]),
            moshi_speaking=bool(self.moshi_speaking[row]),
            token=int(self.token[row]),
            probability=float(self.probability[row]),
            lateness_s=float(self.lateness_s[row]),
            injected=self.injected is not None and bool(self.injected[row]),
            hangover_frames=self.hangover_frames,
            missed_before=0 if self.missed_before is None else int(self.missed_before[row]),
        )

    def __iter__(self) -> Iterator[StepRecord]:
        return map(
            StepRecord,
            self.conversation,
            self.frame.tolist(),
            self.heard,
            (each if valid else None for each, valid in zip(self.spoken, self.valid.tolist(), strict=True)),
            self.heard_dbfs.tolist(),
            self.spoken_dbfs.tolist(),
            self.caller_speaking.tolist(),
            self.moshi_speaking.tolist(),
            self.token.tolist(),
            self.probability.tolist(),
            self.lateness_s.tolist(),
            repeat(False) if self.injected is None else self.injected.tolist(),
            repeat(self.hangover_frames),
            repeat(0) if self.missed_before is None else self.missed_before.tolist(),
        )


_ARRAYS: Final = (
    *("frame", "valid", "heard_dbfs", "spoken_dbfs", "caller_speaking", "moshi_speaking"),
    *("token", "probability", "lateness_s"),
)
