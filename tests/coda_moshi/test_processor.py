"""One conversation: the same as moshi's own loop makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from moshi.models import LMGen, loaders
from moshi.utils.compile import no_compile
from numpy.typing import NDArray

from coda_core.errors import ConversationError
from coda_core.interfaces import SlotOptions, StepInput

Voice = Callable[[int, int], NDArray[np.float32]]


def reference_server(folder: Path, frames: NDArray[np.float32]) -> tuple[list[int], NDArray[np.float32], list[float]]:
    """Do to `frames` what moshi's server does to a connection; return text tokens, audio and text probabilities."""
    config = folder / "config.json"
    found = loaders.CheckpointInfo.from_hf_repo(
        str(folder),
        moshi_weights=folder / "model.safetensors",
        mimi_weights=folder / "mimi.safetensors",
        tokenizer=folder / "tokenizer.model",
        config_path=config,
        mimi_config_path=folder / "mimi_config.json",
    )
    mimi, lm = found.get_mimi(), found.get_moshi(dtype=torch.float32)
    tokens, audio, seen = [], [], []
    generator = LMGen(lm, use_sampling=False, on_text_logits_hook=lambda logits: seen.append(logits.clone()))
    with torch.no_grad(), no_compile(), mimi.streaming(1), generator.streaming(1):
        for index, frame in enumerate(frames):
            codes = mimi.encode(torch.from_numpy(frame)[None, None])
            if index == 0:
                mimi.reset_streaming()
            step = generator.step(codes)
            if step is not None:
                tokens.append(int(step[0, 0, 0]))
                audio.append(mimi.decode(step[:, 1:])[0, 0].numpy())
    # The text of a step that is handed out was chosen as many steps after the first as text itself is delayed.
    chosen = [
        float(logits[0, 0, 0].softmax(-1)[token]) for logits, token in zip(seen[lm.delays[0] :], tokens, strict=False)
    ]
    return tokens, np.stack(audio), chosen


@pytest.mark.parametrize(
    ("checkpoint", "slots", "delay"), [("tiny_folder", 1, 1), ("brief_folder", 3, 1), ("late_folder", 2, 3)]
)
def test_a_greedy_conversation_is_what_the_reference_server_makes_of_it(
    request: pytest.FixtureRequest,
    open_processor: Any,
    stage: Any,
    voice: Voice,
    checkpoint: str,
    slots: int,
    delay: int,
) -> None:
    folder: Path = request.getfixturevalue(checkpoint)
    frames = voice(1, 24)
    tokens, audio, probability = reference_server(folder, frames)
    with open_processor(folder, slots, greedy=True) as processor:
        heard = stage(processor).talk(slots - 1, frames)
        assert processor.info.delay_frames == delay
    assert len(set(tokens)) > 5
    assert heard.valid.tolist() == [False] * delay + [True] * (24 - delay)
    assert heard.token[delay:].tolist() == tokens
    np.testing.assert_allclose(heard.pcm[delay:], audio, rtol=0, atol=1e-6)
    np.testing.assert_allclose(heard.probability[delay:], probability, rtol=1e-4)


def test_a_warming_up_slot_says_nothing(slots: Any, voice: Voice) -> None:
    slots.open(2)
    first = slots.step({2: voice(1, 1)[0]})[2]
    assert not first.valid[0]
    assert not first.failed[0]
    assert not first.pcm.any()
    assert first.token[0] == slots.processor.info.vocabulary.padding
    assert first.probability[0] == 0


def test_the_first_frame_is_not_heard(slots: Any, voice: Voice) -> None:
    frames = voice(1, 8)
    other = frames.copy()
    other[0] = voice(2, 1)[0]
    assert slots.talk(0, frames, greedy=True) == slots.talk(0, other, greedy=True)
    other[1] = frames[0]
    assert slots.talk(0, frames, greedy=True) != slots.talk(0, other, greedy=True)


def test_a_seed_repeats_itself_and_differs_from_others(slots: Any, voice: Voice) -> None:
    frames = voice(3, 9)
    once = slots.talk(0, frames, seed=5)
    assert slots.talk(3, frames, seed=5) == once
    assert slots.talk(0, frames, seed=6) != once
    assert slots.talk(0, frames, seed=5 + 2**32) != once
    assert slots.talk(0, frames, greedy=True) != once


@pytest.mark.parametrize("settings", [{"greedy": True}, {"text_temperature": 0, "audio_temperature": 0}])
def test_greedy_and_a_temperature_of_zero_are_the_same(slots: Any, voice: Voice, settings: dict[str, Any]) -> None:
    frames = voice(3, 10)
    assert slots.talk(0, frames, **settings, seed=1) == slots.talk(0, frames, text_top_k=1, audio_top_k=1)


def test_temperature_and_top_k_change_what_is_sampled(slots: Any, voice: Voice) -> None:
    frames = voice(3, 9)
    usual = slots.talk(0, frames)
    assert slots.talk(0, frames, text_temperature=2.0) != usual
    assert slots.talk(0, frames, audio_temperature=2.0) != usual
    assert slots.talk(0, frames, text_top_k=2) != usual
    assert slots.talk(0, frames, audio_top_k=2) != usual


def test_a_cold_sampler_comes_to_the_greedy_choice(slots: Any, voice: Voice) -> None:
    frames = voice(4, 10)
    cold = slots.talk(0, frames, text_temperature=1e-4, audio_temperature=1e-4)
    assert cold == slots.talk(0, frames, greedy=True)


def test_both_paddings_and_words_are_said(open_processor: Any, tiny_folder: Path, stage: Any, voice: Voice) -> None:
    with open_processor(tiny_folder, 2) as processor:
        for options in ({"greedy": True}, {"seed": 1}):
            heard = stage(processor).talk(0, voice(5, 36), **options)
            vocabulary = processor.info.vocabulary
            spoken = heard.token[heard.valid]
            words = [token for token in spoken if vocabulary.is_text(int(token))]
            assert len(words) > 5
            assert vocabulary.padding in spoken
            assert vocabulary.end_of_padding in spoken
            assert np.sqrt(np.mean(heard.pcm[heard.valid] ** 2)) > 0.01
            assert np.abs(heard.pcm).max() < 1
            assert ((heard.probability[heard.valid] > 0) & (heard.probability[heard.valid] <= 1)).all()


def test_what_it_says_of_itself(slots: Any) -> None:
    info = slots.processor.info
    assert (info.slots, info.delay_frames, info.sample_rate_hz, info.frame_samples) == (4, 1, 24_000, 1_920)
    assert len(info.vocabulary.pieces) == 512
    assert len(info.fingerprint) == 32


def test_stages_of_a_step_are_timed(slots: Any, voice: Voice) -> None:
    slots.open(0)
    output = slots.processor.step(StepInput(np.array([0]), voice(1, 1), np.array([True])))
    assert list(output.stage_s) == ["encode", "model", "decode"]
    assert all(seconds > 0 for seconds in output.stage_s.values())


def test_outputs_belong_to_the_caller(slots: Any, voice: Voice) -> None:
    frames = voice(1, 6)
    slots.open(0)
    for frame in frames[:5]:
        before = slots.step({0: frame})[0]
    kept = before.pcm.copy()
    slots.step({0: frames[5]})
    assert np.array_equal(before.pcm, kept)


def test_misuse_is_refused(slots: Any, voice: Voice) -> None:
    slots.open(1)
    with pytest.raises(ValueError, match="slot 1 is taken"):
        slots.open(1)
    with pytest.raises(ValueError, match=r"slots \[2\] hold no conversation"):
        slots.step({1: voice(1, 1)[0], 2: voice(1, 1)[0]})
    slots.close(3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"text_top_k": 26}, "text_top_k is 26; this stack allows 1 to 25"),
        ({"audio_top_k": 0}, "audio_top_k is 0; this stack allows 1 to 25"),
        ({"text_temperature": -1.0}, "text_temperature is -1.0"),
        ({"audio_temperature": float("nan")}, "audio_temperature is nan"),
    ],
)
def test_settings_that_cannot_be_had_leave_the_slot_free(slots: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConversationError, match=said):
        slots.open(0, **options)
    slots.open(0)


def test_warming_up_leaves_no_trace(open_processor: Any, brief_folder: Path, stage: Any, voice: Voice) -> None:
    frames = voice(6, 12)
    with open_processor(brief_folder, 2) as processor:
        once = stage(processor).talk(1, frames)
        processor.warm_up()
        assert stage(processor).talk(1, frames) == once


def test_a_released_processor_holds_no_model(open_processor: Any, brief_folder: Path) -> None:
    with open_processor(brief_folder, 1) as processor:
        processor.open(0, SlotOptions())
    held = (*vars(processor).values(), *vars(processor.batch).values())
    assert not any(isinstance(value, torch.nn.Module) for value in held)
