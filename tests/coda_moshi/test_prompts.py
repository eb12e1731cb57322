"""What a conversation takes in before it hears its caller, and that it does so once for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from coda_core.errors import ConversationError

Voice = Callable[[int, int], NDArray[np.float32]]
PROMPT = "you are glad"


@pytest.fixture(scope="module")
def two(open_processor: Any, brief_folder: Path, stage: Any) -> Iterator[Any]:
    with open_processor(brief_folder, 2, prompts_kept=2) as processor:
        yield stage(processor)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory, voice: Voice) -> Path:
    """Seven frames and a bit of somebody's voice, at another rate and in two channels."""
    path = tmp_path_factory.mktemp("voices") / "somebody.wav"
    mono = voice(70, 8).reshape(-1)[: 7 * 1_920 + 100]
    soundfile.write(path, np.stack([mono, mono], axis=1), 48_000)
    return path


def take_in(stage: Any, slot: int, noise: NDArray[np.float32], **options: Any) -> tuple[int, list[Any]]:
    """Open a slot and step it through its prompt, given `noise`; return the steps that took and what came out."""
    steps = stage.open(slot, **options)
    return steps, [stage.step({slot: noise[step % len(noise)]})[slot] for step in range(steps)]


def go_on(stage: Any, slot: int, frames: NDArray[np.float32]) -> list[Any]:
    heard = [stage.step({slot: frame})[slot] for frame in frames]
    stage.close(slot)
    return heard


def test_a_prompt_takes_its_steps_once(two: Any, voice: Voice) -> None:
    steps, heard = take_in(two, 0, voice(1, 3), prompt=PROMPT)
    assert steps == len(two.processor._model.wording.written(PROMPT)) + 6
    assert not any(row.valid[0] or row.pcm.any() for row in heard)
    first = two.step({0: voice(2, 1)[0]})[0]
    # What comes out as long as the model's delay belongs to the prompt.
    assert not first.valid[0]
    assert two.step({0: voice(2, 1)[0]})[0].valid[0]
    two.close(0)
    assert two.open(1, prompt=PROMPT) == 0
    two.close(1)


@pytest.mark.parametrize("options", [{"greedy": True}, {"seed": 4}, {"seed": 5, "text_temperature": 1.5}])
@pytest.mark.parametrize("voiced", [False, True])
def test_a_kept_prompt_is_equal_to_one_taken_in_afresh(
    open_processor: Any,
    brief_folder: Path,
    stage: Any,
    two: Any,
    voice: Voice,
    join_rows: Any,
    recording: Path,
    options: dict[str, Any],
    voiced: bool,
) -> None:
    prompt = {"prompt": PROMPT, **({"voice": str(recording)} if voiced else {})}
    frames = voice(3, 12)
    # Taken in with another seed, beside a neighbour, in another slot.
    take_in(two, 1, voice(4, 2), **prompt, seed=99)
    two.close(1)
    assert two.open(0, **prompt, **options) == 0
    kept = join_rows(go_on(two, 0, frames))
    with open_processor(brief_folder, 2) as processor:
        fresh = stage(processor)
        steps, _ = take_in(fresh, 1, voice(5, 2), **prompt, **options)
        assert steps > 0
        assert join_rows(go_on(fresh, 1, frames)) == kept


def test_the_caller_is_not_heard_meanwhile(open_processor: Any, brief_folder: Path, stage: Any, voice: Voice) -> None:
    frames, found = voice(3, 8), []
    for noise in (voice(6, 2), np.full((1, 1_920), np.float32(0.9))):
        with open_processor(brief_folder, 1) as processor:
            take_in(stage(processor), 0, noise, prompt=PROMPT)
            found.append([row.token.tolist() for row in go_on(stage(processor), 0, frames)])
    assert found[0] == found[1]


def test_voice_text_and_neither_make_a_difference(
    open_processor: Any, tiny_folder: Path, stage: Any, voice: Voice, recording: Path
) -> None:
    frames = voice(3, 10)
    found = []
    with open_processor(tiny_folder, 1) as processor:
        mine = stage(processor)
        for options in ({}, {"prompt": PROMPT}, {"voice": str(recording)}, {"prompt": PROMPT, "voice": str(recording)}):
            steps, _ = take_in(mine, 0, voice(7, 1), greedy=True, **options)
            found.append((steps, tuple(int(row.token[0]) for row in go_on(mine, 0, frames))))
    assert len({tokens for _, tokens in found}) == 4
    assert found[0][0] == 0


def test_what_was_not_used_for_longest_is_dropped(two: Any, voice: Voice) -> None:
    for prompt in ("one", "two", "one", "three"):
        take_in(two, 0, voice(1, 1), prompt=prompt)
        two.close(0)
    steps = []
    for prompt in ("one", "three", "two"):
        steps.append(two.open(0, prompt=prompt))
        two.close(0)
    assert steps[:2] == [0, 0]
    assert steps[2] > 0


def test_the_stack_has_a_prompt_of_its_own(
    open_processor: Any, brief_folder: Path, stage: Any, two: Any, voice: Voice, join_rows: Any, recording: Path
) -> None:
    frames = voice(8, 10)
    settings = {"prompt": PROMPT, "voice": str(recording), "greeting": False, "prompts_kept": 1}
    with open_processor(brief_folder, 2, **settings) as processor:
        mine = stage(processor)
        assert processor.info.fingerprint == two.processor.info.fingerprint
        defaults = processor.info.defaults
        assert (defaults.prompt, defaults.voice, defaults.greeting) == (PROMPT, str(recording), False)
        assert mine.open(0) == 0
        assert not join_rows(go_on(mine, 0, frames)).pcm.any()
        assert mine.open(1, seed=7, greeting=True) == 0
        prompted = join_rows(go_on(mine, 1, frames))
        plain = mine.talk(0, frames, seed=7, prompt="", voice="", greeting=True)
    assert plain == two.talk(0, frames, seed=7)
    take_in(two, 0, frames, prompt=PROMPT, voice=str(recording), seed=7)
    assert join_rows(go_on(two, 0, frames)) == prompted


def test_a_conversation_whose_prompt_cannot_be_read_is_refused(two: Any, tmp_path: Path) -> None:
    not_audio = tmp_path / "notes.wav"
    not_audio.write_text("no")
    too_long = tmp_path / "book.wav"
    soundfile.write(too_long, np.zeros(61 * 8_000, np.float32), 8_000)
    for options, said in (
        ({"voice": str(tmp_path / "nobody.wav")}, "nobody.wav cannot be read"),
        ({"voice": str(not_audio)}, "notes.wav cannot be read"),
        ({"voice": str(too_long)}, "lasts 61.0 s"),
        ({"prompt": "word " * 1_001}, "1000 are allowed"),
    ):
        with pytest.raises(ConversationError, match=said):
            two.open(0, **options)
        assert two.open(0) == 0
        two.close(0)


def test_a_stack_whose_prompt_cannot_be_read_does_not_start(open_processor: Any, brief_folder: Path) -> None:
    with pytest.raises(ConversationError, match=r"nobody\.wav"), open_processor(brief_folder, 1, voice="nobody.wav"):
        pass
