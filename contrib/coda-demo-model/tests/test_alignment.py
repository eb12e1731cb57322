"""Events that are moved onto other speech lie where that speech has them."""

from __future__ import annotations

import numpy as np

from coda_demo_model.alignment import aligned_events
from coda_demo_model.espeak import speak

_TEXT = "can many people talk to you at the same time"


def test_events_of_another_voice_are_found_to_within_some_hundredths_of_a_second() -> None:
    spoken = speak(_TEXT, "en-gb-x-rp+m5", words_per_minute=140, pitch=60, pitch_range=60)
    loud = np.flatnonzero(np.abs(spoken.audio) > 0.01 * np.abs(spoken.audio).max())
    begin_s = loud[0] / spoken.sample_rate_hz
    _, words = aligned_events(_TEXT, spoken.audio[loud[0] : loud[-1] + 1], spoken.sample_rate_hz)
    assert [word.text for word in words] == [word.text for word in spoken.words]
    errors = [abs(word.second + begin_s - true.second) for word, true in zip(words, spoken.words, strict=True)]
    assert float(np.mean(errors)) < 0.03
    assert max(errors) < 0.15


def test_events_are_in_order_and_within_the_audio() -> None:
    spoken = speak(_TEXT, "en-us+f2", words_per_minute=190, pitch=40, pitch_range=40)
    phonemes, words = aligned_events(_TEXT, spoken.audio, spoken.sample_rate_hz)
    for events in (phonemes, words):
        seconds = [event.second for event in events]
        assert seconds == sorted(seconds)
        assert -0.05 <= seconds[0] <= seconds[-1] <= len(spoken.audio) / spoken.sample_rate_hz + 0.1
