from __future__ import annotations

import numpy as np
import pytest

from coda_demo_model.evaluate import _sounds_too_early
from coda_demo_model.live import Conversation, SpokenWord
from coda_demo_model.voice import FRAME


@pytest.mark.parametrize(
    ("loud_frame", "words", "too_early"),
    [
        (3, (SpokenWord(8, "hello"),), True),
        (7, (SpokenWord(8, "hello"),), False),
        (12, (SpokenWord(8, "hello"),), False),
        (12, (), True),
    ],
)
def test_a_sound_counts_where_no_word_is_due(loud_frame: int, words: tuple[SpokenWord, ...], too_early: bool) -> None:
    audio = np.zeros(20 * FRAME, np.float32)
    audio[loud_frame * FRAME : (loud_frame + 1) * FRAME] = 0.1
    assert _sounds_too_early(Conversation((), words, audio)) is too_early
