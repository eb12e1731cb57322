"""Engines whose voices were recorded speak too, and their calls are labelled."""

from __future__ import annotations

import numpy as np
import pytest

from coda_demo_model.callers import Call, call_by_another
from coda_demo_model.other_engines import FESTIVAL_VOICES, PICO_VOICES, speak_by_festival, speak_by_pico


@pytest.mark.parametrize("voice", PICO_VOICES)
def test_pico_speaks_faster_when_it_is_asked_to(voice: str) -> None:
    slow, fast = (speak_by_pico("hello coda how are you", voice, speed=speed, pitch=1.0)[0] for speed in (0.8, 1.3))
    assert 1.2 * len(fast) < len(slow)
    assert np.abs(slow).max() > 0.05


@pytest.mark.parametrize("voice", FESTIVAL_VOICES)
def test_festival_speaks_slower_when_it_is_asked_to(voice: str) -> None:
    fast, slow = (speak_by_festival("hello coda how are you", voice, stretch=stretch)[0] for stretch in (0.8, 1.3))
    assert 1.2 * len(fast) < len(slow)
    assert np.abs(slow).max() > 0.05


def test_a_voice_that_festival_does_not_have_is_refused() -> None:
    with pytest.raises(RuntimeError, match="has no voice nobody"):
        speak_by_festival("hello", "nobody", stretch=1.0)


def test_calls_of_both_engines_have_words_within_their_audio() -> None:
    bits = np.random.default_rng(1)
    calls: list[Call] = [call_by_another("joke", "make me laugh please", bits, stretch=0.2) for _ in range(8)]
    assert {call.voice for call in calls} & set(PICO_VOICES)
    assert {call.voice for call in calls} & set(FESTIVAL_VOICES)
    for call in calls:
        assert [word for _, word in call.words] == ["make", "me", "laugh", "please"]
        assert 0 <= call.words[0][0] < call.words[-1][0] < len(call.audio) / 480
