"""Checkpoints and processors that the tests of `coda_moshi` share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from coda_core.clock import SystemClock
from coda_core.interfaces import Context, SlotOptions, StepInput, StepOutput
from coda_moshi.config import MoshiConfig
from coda_moshi.lifecycle import open_moshi
from coda_moshi.processor import MoshiProcessor
from coda_moshi.tiny import LM_CONFIG, MIMI_CONFIG, tiny_checkpoint, write_checkpoint

FRAME = 1920


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tests run beside each other on few cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def tiny_folder(cache_dir: Path) -> Path:
    return tiny_checkpoint(cache_dir)


@pytest.fixture(scope="session")
def brief_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint for quick tests: the language model remembers 6 frames and the codec 4, so windows are soon full."""
    return brief_checkpoint(tmp_path_factory.mktemp("brief"), delays=[0, 0, 1, 0, 1])


@pytest.fixture(scope="session")
def late_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, with other delays: it answers three steps late, and writes one step late itself."""
    return brief_checkpoint(tmp_path_factory.mktemp("late"), delays=[1, 0, 3, 0, 2])


def brief_checkpoint(folder: Path, delays: list[int]) -> Path:
    lm = {**LM_CONFIG, "n_q": 4, "dep_q": 2, "num_layers": 1, "context": 6, "delays": delays}
    mimi = {
        **MIMI_CONFIG,
        "seanet": {**MIMI_CONFIG["seanet"], "n_filters": 4, "ratios": [24, 40]},
        "quantizer": {**MIMI_CONFIG["quantizer"], "n_q": 2},
        "transformer": {**MIMI_CONFIG["transformer"], "context": 8},
    }
    write_checkpoint(folder, lm=lm, mimi=mimi)
    return folder


@pytest.fixture(scope="session")
def context(cache_dir: Path) -> Context:
    return Context(
        base_dir=cache_dir,
        cache_dir=cache_dir,
        clock=SystemClock(),
        logger=logging.getLogger("coda.test.moshi"),
        progress=lambda what, done, total: None,
    )


OpenProcessor = Callable[..., AbstractContextManager[MoshiProcessor]]


@pytest.fixture(scope="session")
def open_processor(context: Context) -> OpenProcessor:
    @contextmanager
    def opened(folder: Path | str, conversations: int, **settings: Any) -> Iterator[MoshiProcessor]:
        config = MoshiConfig(model_path=str(folder), conversations=conversations, **settings)
        with open_moshi(config, context) as processor:
            yield processor

    return opened


@attrs.frozen(eq=False)
class Heard:
    """What came out of a slot over some steps, one row for each."""

    pcm: NDArray[np.float32]
    valid: NDArray[np.bool_]
    token: NDArray[np.int64]
    probability: NDArray[np.float32]
    failed: NDArray[np.bool_]

    def __eq__(self, other: object) -> bool:
        """Bit for bit."""
        return isinstance(other, Heard) and all(
            np.array_equal(getattr(self, field.name), getattr(other, field.name)) for field in attrs.fields(Heard)
        )


def join(rows: Sequence[Heard]) -> Heard:
    return Heard(*(np.concatenate([getattr(row, field.name) for row in rows]) for field in attrs.fields(Heard)))


class Stage:
    """A processor with its slots, and small words for driving it."""

    def __init__(self, processor: MoshiProcessor) -> None:
        self.processor = processor
        self.output: StepOutput | None = None
        """Of the latest step."""

    def open(self, slot: int, **options: Any) -> int:
        return self.processor.open(slot, SlotOptions(**options))

    def close(self, *slots: int) -> None:
        for slot in slots:
            self.processor.close(slot)

    def step(self, frames: Mapping[int, NDArray[np.float32]], speaking: Container[int] = ()) -> dict[int, Heard]:
        """Step the slots named in `frames`, a frame of PCM each; the callers of `speaking` are said to speak."""
        slots = np.array(sorted(frames), np.int64)
        pcm = np.stack([frames[int(slot)] for slot in slots])
        caller_speaking = np.array([slot in speaking for slot in slots.tolist()], np.bool_)
        output = self.processor.step(StepInput(slots=slots, pcm=pcm, caller_speaking=caller_speaking))
        self.output = output
        names = [field.name for field in attrs.fields(Heard)]
        return {
            int(slot): Heard(*(getattr(output, name)[row : row + 1] for name in names))
            for row, slot in enumerate(slots)
        }

    def talk(self, slot: int, frames: NDArray[np.float32], **options: Any) -> Heard:
        """Hold a whole conversation while all other slots stand still."""
        self.open(slot, **options)
        heard = join([self.step({slot: frame})[slot] for frame in frames])
        self.close(slot)
        return heard


@pytest.fixture(scope="session")
def stage() -> Callable[[MoshiProcessor], Stage]:
    return Stage


@pytest.fixture(scope="session")
def join_rows() -> Callable[[Sequence[Heard]], Heard]:
    return join


@pytest.fixture(scope="session")
def voice() -> Callable[[int, int], NDArray[np.float32]]:
    """Frames of something that changes as speech does: ``[frames, 1920]``, different for each seed."""

    def made(seed: int, frames: int) -> NDArray[np.float32]:
        random = np.random.default_rng(seed)
        time = np.arange(frames * FRAME) / 24_000
        pitch = 120 + 60 * np.sin(2 * np.pi * random.uniform(0.3, 2) * time + random.uniform(0, 6))
        level = np.clip(np.sin(2 * np.pi * random.uniform(1, 4) * time + random.uniform(0, 6)), 0, 1) * 0.2
        tone = np.sign(np.sin(2 * np.pi * np.cumsum(pitch) / 24_000)) + random.standard_normal(len(time))
        pcm: NDArray[np.float32] = (level * tone * 0.5).astype(np.float32)
        return pcm.reshape(frames, FRAME)

    return made


@pytest.fixture(scope="module")
def four(open_processor: OpenProcessor, brief_folder: Path) -> Iterator[Stage]:
    """Four slots on the brief checkpoint, shared by a module's tests."""
    with open_processor(brief_folder, 4) as processor:
        yield Stage(processor)


@pytest.fixture
def slots(four: Stage) -> Iterator[Stage]:
    """The same four slots, all free before and after."""
    yield four
    four.close(*range(4))
