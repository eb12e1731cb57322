from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from coda_demo_model.espeak import speak, variants

_VOICE = "en-us+klatt4"


def test_a_text_sounds_the_same_whatever_was_said_before() -> None:
    first = speak("the robot", _VOICE, words_per_minute=225, pitch=50, pitch_range=30)
    speak("somebody else", "en-us+m3", words_per_minute=150, pitch=70, pitch_range=60)
    again = speak("the robot", _VOICE, words_per_minute=225, pitch=50, pitch_range=30)
    assert np.array_equal(first.audio, again.audio)
    assert first.words == again.words
    assert first.phonemes == again.phonemes


def test_an_unknown_language_is_named_and_the_next_text_is_spoken() -> None:
    with pytest.raises(ValueError, match="'gibberish'"):
        speak("hello", "gibberish", words_per_minute=175, pitch=50, pitch_range=50)
    assert speak("hello", "en-us", words_per_minute=175, pitch=50, pitch_range=50).audio.any()


def test_variants_are_those_of_the_engine() -> None:
    assert {"f3", "klatt4", "m3"} <= set(variants())


def test_a_program_that_spoke_ends_quietly() -> None:
    program = "from coda_demo_model.espeak import variants; variants()"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
