"""A conversation that is taken out of its slot goes on elsewhere as if nothing had been."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from coda_core.commands import Cancel, Command, Interrupt, Say
from coda_core.errors import ModelError
from coda_core.interfaces import ParkedState, SlotOptions
from coda_core.parking import from_chunks, to_chunks
from coda_moshi.prompt_cache import PromptCache

Voice = Callable[[int, int], NDArray[np.float32]]
Arrays = dict[str, NDArray[Any]]

FRAMES = 34


@pytest.fixture(scope="module")
def four_slots(open_processor: Any, brief_folder: Path, stage: Any) -> Iterator[Any]:
    with open_processor(brief_folder, 4) as processor:
        yield stage(processor)


@pytest.fixture(scope="module")
def lone_slot(open_processor: Any, brief_folder: Path, stage: Any) -> Iterator[Any]:
    """One slot that is stepped by moshi's own modules."""
    with open_processor(brief_folder, 1, fast_step=False) as processor:
        yield stage(processor)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory, voice: Voice) -> Path:
    path = tmp_path_factory.mktemp("voices") / "somebody.wav"
    soundfile.write(path, voice(70, 4).reshape(-1), 24_000)
    return path


def drawn_commands(random: np.random.Generator) -> dict[int, Command]:
    """Return what a conversation is asked, by step."""
    found: dict[int, Command] = {}
    for number in range(int(random.integers(0, 4))):
        frame = int(random.integers(0, FRAMES - 8))
        found[frame] = (
            Say(id=number, text="good question", deadline_frames=int(random.integers(0, 9)), yields=number == 1),
            Interrupt(frames=[None, 5][int(random.integers(2))]),
            Cancel(id=number - 1),
            Say(id=number, text="yes", deadline_frames=2, expires_frames=4),
        )[int(random.integers(4))]
    return found


def lived(
    stages: list[tuple[Any, int]],
    frames: NDArray[np.float32],
    options: dict[str, Any],
    commands: Mapping[int, Command],
    moves: frozenset[int] = frozenset(),
) -> list[Any]:
    """Live a conversation, in the next slot of `stages` after every move; return what came out of each step."""
    places = iter(stages * FRAMES)
    at, slot = next(places)
    asked = SlotOptions(**options)
    at.processor.open(slot, asked)
    heard = []
    for index, frame in enumerate(frames):
        if index in moves:
            state = through_a_file(at.processor.export(slot), asked)
            at.close(slot)
            at, slot = next(places)
            at.processor.restore(slot, asked, state)
        if index in commands:
            at.processor.command(slot, commands[index])
        speaks = 12 <= index < 20 or index >= 30
        row = at.step({slot: frame}, (slot,) if speaks else ())[slot]
        output = at.output
        injected = output.injected is not None and bool(output.injected[0])
        heard.append((int(row.token[0]), bool(row.valid[0]), injected, [n.status for n in output.notices], row))
    at.close(slot)
    return heard


def through_a_file(state: Mapping[str, NDArray[Any]], options: SlotOptions) -> Mapping[str, NDArray[Any]]:
    parked = ParkedState(
        conversation="c", frame=1, fingerprint="f", options=options, slot=state, lane=b"", followers={}
    )
    return from_chunks(list(to_chunks(parked))).slot


def said(heard: list[Any]) -> list[Any]:
    return [row[:4] for row in heard]


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_an_uninterrupted_conversation(four_slots: Any, voice: Voice, recording: Path, seed: int) -> None:
    """Bit for bit, where the batch has the same size."""
    random = np.random.default_rng(seed)
    frames = voice(seed, FRAMES)
    options: dict[str, Any] = {"seed": 3} if seed % 2 else {"greedy": True}
    if seed > 1:
        # Whatever is kept of a prompt is another test's: it is taken in anew, and parked in the middle of it.
        four_slots.processor._prompts.kept = PromptCache(1)
        options = {**options, "prompt": "good morning", "voice": str(recording), "greeting": False}
    commands = drawn_commands(random)
    uninterrupted = lived([(four_slots, 2)], frames, options, commands)
    four_slots.processor._prompts.kept = PromptCache(1)
    moves = frozenset({2, *random.integers(0, FRAMES, 5).tolist()})
    four_slots.open(1, seed=5)
    parked = lived([(four_slots, 2), (four_slots, 0), (four_slots, 3)], frames, options, commands, moves)
    four_slots.close(1)
    assert said(parked) == said(uninterrupted)
    assert all(mine[4] == other[4] for mine, other in zip(parked, uninterrupted, strict=True))


@pytest.mark.parametrize("options", [{"greedy": True}, {"seed": 8}])
def test_the_same_tokens_in_batches_of_other_sizes_and_from_other_steps(
    four_slots: Any, lone_slot: Any, voice: Voice, options: dict[str, Any]
) -> None:
    frames = voice(31, FRAMES)
    commands = {6: Say(id=1, text="yes of course", deadline_frames=4)}
    places = [(four_slots, 3), (lone_slot, 0), (four_slots, 1), (lone_slot, 0)]
    moves = frozenset({1, 7, 9, 18, 30})
    uninterrupted = lived([(four_slots, 0)], frames, options, commands)
    assert said(lived(places, frames, options, commands, moves)) == said(uninterrupted)
    assert said(lived([(lone_slot, 0)], frames, options, commands)) == said(uninterrupted)


def test_it_goes_on_in_another_process(
    four_slots: Any, voice: Voice, brief_folder: Path, cache_dir: Path, tmp_path: Path
) -> None:
    frames = voice(32, 24)
    options = {"seed": 21}
    commands = {8: Say(id=1, text="yes of course", deadline_frames=4)}
    uninterrupted = lived([(four_slots, 0)], frames, options, commands)
    four_slots.open(0, **options)
    for index, frame in enumerate(frames[:10]):
        if index in commands:
            four_slots.processor.command(0, commands[index])
        four_slots.step({0: frame})
    np.savez(tmp_path / "state.npz", **four_slots.processor.export(0))
    four_slots.close(0)
    np.save(tmp_path / "frames.npy", frames)
    child = """
import json, logging, sys
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(1)
from coda_core.clock import SystemClock
from coda_core.interfaces import Context, SlotOptions, StepInput
from coda_moshi.config import MoshiConfig
from coda_moshi.lifecycle import open_moshi
folder, cache, there = map(Path, sys.argv[1:])
context = Context(base_dir=cache, cache_dir=cache, clock=SystemClock(), logger=logging.getLogger("child"),
                  progress=lambda *told: None)
with open_moshi(MoshiConfig(model_path=str(folder), conversations=2), context) as processor:
    processor.restore(1, SlotOptions(seed=21), dict(np.load(there / "state.npz")))
    tokens = []
    for frame in np.load(there / "frames.npy")[10:]:
        step = StepInput(slots=np.array([1]), pcm=frame[None], caller_speaking=np.array([False]))
        tokens.append(int(processor.step(step).token[0]))
print(json.dumps(tokens))
"""
    ran = subprocess.run(
        [sys.executable, "-c", child, str(brief_folder), str(cache_dir), str(tmp_path)], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == [row[0] for row in uninterrupted[10:]]


def parked_after(stage: Any, voice: Voice, steps: int) -> Arrays:
    stage.open(0, seed=1)
    for frame in voice(33, steps):
        stage.step({0: frame})
    state = dict(stage.processor.export(0))
    stage.close(0)
    return state


def test_only_the_used_part_of_a_ring_is_taken(lone_slot: Any, voice: Voice) -> None:
    lengths = [parked_after(lone_slot, voice, steps)[RING].shape[-2] for steps in (1, 4, 9)]
    assert lengths == [1, 4, 6]


def test_a_slot_is_left_as_it_is(lone_slot: Any, voice: Voice, join_rows: Any) -> None:
    frames = voice(34, 12)
    alone = lone_slot.talk(0, frames, seed=1)
    lone_slot.open(0, seed=1)
    heard = []
    for frame in frames:
        lone_slot.processor.export(0)
        heard.append(lone_slot.step({0: frame})[0])
    lone_slot.close(0)
    assert join_rows(heard) == alone


def about(state: Arrays, **changes: Any) -> Arrays:
    fields = json.loads(state["about"].tobytes()) | changes
    return {**state, "about": np.frombuffer(json.dumps(fields).encode(), np.uint8)}


def scripted(state: Arrays, **changes: Any) -> Arrays:
    return about(state, script=json.loads(state["about"].tobytes())["script"] | changes)


def without(state: Arrays, name: str) -> Arrays:
    return {key: array for key, array in state.items() if key != name}


CACHE = "rows/language_model/generator.cache"
RING = "rows/language_model/transformer.layers.0.self_attn.kv_cache.cache"
END = "rows/language_model/transformer.layers.0.self_attn.kv_cache.end_offset"


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: {},
        lambda state: without(state, "about"),
        lambda state: without(state, "voice"),
        lambda state: without(state, CACHE),
        lambda state: {**state, "rows/surprise": np.zeros(3)},
        lambda state: {**state, "about": state["about"][:-3]},
        lambda state: about(state, version=2),
        lambda state: about(state, steps=-1),
        lambda state: about(state, dtypes={}),
        lambda state: about(state, script=None),
        lambda state: scripted(state, prompt=[10**6]),
        lambda state: scripted(state, injections={}),
        lambda state: scripted(state, silence={"left": 1, "surprise": 2}),
        lambda state: {**state, CACHE: state[CACHE] + 10**6},
        lambda state: {**state, CACHE: state[CACHE] - 10**6},
        lambda state: {**state, CACHE: state[CACHE].astype(np.int32)},
        lambda state: {**state, RING: state[RING][..., :-1, :]},
        lambda state: {**state, RING: state[RING].astype(np.float16)},
        lambda state: {**state, END: -state[END]},
        lambda state: {**state, END: state[END][0]},
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_the_slot_stays_free(
    lone_slot: Any, voice: Voice, damage: Callable[[Arrays], Arrays]
) -> None:
    state = damage(parked_after(lone_slot, voice, 3))
    with pytest.raises(ModelError, match="parked state of a slot"):
        lone_slot.processor.restore(0, SlotOptions(), state)
    frames = voice(35, 4)
    assert lone_slot.talk(0, frames, seed=1) == lone_slot.talk(0, frames, seed=1)


def test_a_state_of_another_checkpoint_is_refused(
    open_processor: Any, tiny_folder: Path, lone_slot: Any, voice: Voice
) -> None:
    state = parked_after(lone_slot, voice, 3)
    with open_processor(tiny_folder, 1) as processor, pytest.raises(ModelError, match="does not fit this model"):
        processor.restore(0, SlotOptions(), state)


def test_half_precision_travels_as_bits(open_processor: Any, brief_folder: Path, stage: Any, voice: Voice) -> None:
    frames = voice(36, 14)
    with open_processor(brief_folder, 2, dtype="bfloat16") as processor:
        mine = stage(processor)
        uninterrupted = lived([(mine, 0)], frames, {"seed": 2}, {})
        parked = lived([(mine, 0), (mine, 1)], frames, {"seed": 2}, {}, frozenset({5, 9}))
        assert said(parked) == said(uninterrupted)
        mine.open(0)
        assert processor.export(0)[RING].dtype == np.uint16


def test_only_conversations_are_parked_and_only_free_slots_taken(lone_slot: Any, voice: Voice) -> None:
    state = parked_after(lone_slot, voice, 2)
    with pytest.raises(ValueError, match="slot 0 holds no conversation"):
        lone_slot.processor.export(0)
    lone_slot.open(0)
    with pytest.raises(ValueError, match="slot 0 is taken"):
        lone_slot.processor.restore(0, SlotOptions(), state)
    lone_slot.close(0)
