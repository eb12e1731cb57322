"""Calls are speech with labels that lie within it."""

from __future__ import annotations

import numpy as np
import pytest

from coda_demo_model.callers import call_by_espeak, call_by_flite, corpus_variants
from coda_demo_model.espeak import speak


def test_espeak_tells_when_words_and_phonemes_begin() -> None:
    spoken = speak("hello there", "en-us", words_per_minute=160, pitch=50, pitch_range=50)
    assert [word.text for word in spoken.words] == ["hello", "there"]
    assert [phoneme.text for phoneme in spoken.phonemes[:2]] == ["h", "@"]
    assert 0.5 < len(spoken.audio) / spoken.sample_rate_hz < 2


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(ValueError, match="no voice 'xx-nobody'"):
        speak("hello", "xx-nobody", words_per_minute=160, pitch=50, pitch_range=50)


def test_the_same_bits_make_the_same_call_but_for_noise() -> None:
    calls = [call_by_espeak("joke", "make me laugh", "f2", np.random.default_rng(3), stretch=0.1) for _ in range(2)]
    # espeak-ng goes on with its noise where the sentence before left it, so samples differ.
    assert calls[0].phonemes == calls[1].phonemes
    assert abs(len(calls[0].audio) - len(calls[1].audio)) < 100
    assert [word for _, word in calls[0].words] == ["make", "me", "laugh"]
    assert 0 <= calls[0].words[0][0] <= calls[0].words[-1][0] < len(calls[0].audio) / 480


def test_a_call_has_no_silence_around_it_and_half_the_scale() -> None:
    audio = call_by_espeak("joke", "make me laugh", "", np.random.default_rng(0)).audio.astype(float) / 32767
    assert min(abs(audio[0]), abs(audio[-1])) > 0.009
    assert abs(np.abs(audio).max() - 0.5) < 1e-3


def test_flite_speaks_too() -> None:
    call = call_by_flite("hello", "hello coda", "slt", np.random.default_rng(0))
    assert 12_000 < len(call.audio) < 60_000
    assert call.words == ()


def test_voices_unlike_people_are_left_out() -> None:
    found = corpus_variants(["f3"])
    assert len(found) > 60
    assert not {"f3", "whisper", "klatt4"} & set(found)
