from __future__ import annotations

from collections.abc import Sequence

import pytest

from coda_moshi.onsets import Wish
from coda_moshi.silence import Silence

_NOTHING = Wish.NOTHING


def held(silence: Silence, speaking: Sequence[bool], wishes: Sequence[Wish] = ()) -> int:
    """Return for how many steps it holds."""
    for step, caller_speaking in enumerate(speaking):
        if not silence.holds(caller_speaking):
            return step
        silence.took(wishes[step] if step < len(wishes) else Wish.BEGIN)
    return len(speaking)


def test_it_holds_until_a_frame_of_the_caller_has_passed() -> None:
    assert held(Silence(), [False] * 5 + [True] * 5) == 6


def test_it_holds_for_so_many_steps_at_most() -> None:
    assert held(Silence(left=3), [False] * 9) == 3
    assert held(Silence(left=0), [False] * 9) == 0
    assert held(Silence(left=7), [False, True, True]) == 2


def test_a_caller_who_was_speaking_is_let_finish() -> None:
    assert held(Silence(interrupts_caller=True), [True] * 9 + [False] * 3) == 9


def test_a_model_that_has_let_go_of_its_sentence_may_answer() -> None:
    silence = Silence(interrupts_caller=True)
    assert held(silence, [True] * 20, [Wish.BEGIN] * 4 + [_NOTHING] * 3 + [Wish.ANNOUNCE] + [_NOTHING] * 20) == 14


@pytest.mark.parametrize("silence", [Silence(), Silence(left=4, interrupts_caller=True, let_go=3), Silence(heard=True)])
def test_it_goes_on_from_what_it_exports(silence: Silence) -> None:
    assert Silence.restored(silence.export()) == silence
