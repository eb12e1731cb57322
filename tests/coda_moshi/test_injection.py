"""The line of texts that a slot was asked to speak, without any model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coda_core.commands import Say
from coda_moshi.injection import Injections
from coda_moshi.injection_rule import InjectionRule
from coda_moshi.onsets import Wish

PAD, EPAD = 3, 0
ONE, TWO = ((10, 11), (12,)), ((20,),)
ITEM = {"id": 1, "words": [[10]], "deadline": 1, "expires": None, "yields": False}
WISHES = st.lists(st.sampled_from(list(Wish)), max_size=60)


def line(**rule: Any) -> Injections:
    return Injections(InjectionRule(**rule), PAD, EPAD)


def say(number: int, deadline: int = 100, **more: Any) -> Say:
    return Say(id=number, text="", deadline_frames=deadline, **more)


def run(injections: Injections, wished: Sequence[Wish]) -> tuple[list[int | None], list[tuple[int, str]]]:
    """Return the token of each step, None where the model was left alone, and what was told."""
    tokens: list[int | None] = []
    changes: list[tuple[int, str]] = []
    for wish in wished:
        plan = injections.plan()
        tokens.append(None if plan is None else plan[wish])
        changes += injections.took(wish).changes
    return tokens, changes


N, A, B = Wish.NOTHING, Wish.ANNOUNCE, Wish.BEGIN


def test_a_model_is_left_alone_while_nothing_is_asked() -> None:
    assert run(line(), [N, A, B]) == ([None, None, None], [])


def test_words_begin_where_the_model_would_begin_one() -> None:
    injections = line()
    injections.say(say(1), ONE)
    tokens, changes = run(injections, [N, N, A, N, N, N, B, N, N])
    assert tokens == [PAD, PAD, EPAD, 10, 11, PAD, EPAD, 12, None]
    assert changes == [(1, "started"), (1, "finished")]


def test_without_announcement_a_word_stands_where_a_word_was_wished() -> None:
    injections = line(announce=False)
    injections.say(say(1), ONE)
    assert run(injections, [B, N, N, A, N, N])[0] == [10, 11, PAD, EPAD, 12, None]


def test_nothing_is_a_beginning_until_a_word_has_settled() -> None:
    injections = line(settle_frames=2)
    injections.say(say(1), ONE)
    assert run(injections, [B, N, N, B, A, B, N])[0] == [EPAD, 10, 11, PAD, PAD, EPAD, 12]


def test_a_deadline_and_the_longest_gap_begin_words_anyway() -> None:
    injections = line(gap_frames=4)
    injections.say(say(1, deadline=3), ONE)
    tokens, _ = run(injections, [N] * 14)
    assert tokens == [PAD, PAD, PAD, EPAD, 10, 11, PAD, PAD, PAD, PAD, EPAD, 12, None, None]


def test_the_deadline_runs_from_when_a_text_is_first_in_line() -> None:
    injections = line(gap_frames=1)
    injections.say(say(1, deadline=0), TWO)
    injections.say(say(2, deadline=2), TWO)
    assert run(injections, [N] * 7)[0] == [EPAD, 20, PAD, PAD, EPAD, 20, None]


def test_what_expires_is_dropped_unless_it_has_begun() -> None:
    injections = line(gap_frames=1)
    injections.say(say(1, deadline=1, expires_frames=2), ONE)
    injections.say(say(2, expires_frames=2), TWO)
    tokens, changes = run(injections, [N] * 9)
    assert tokens[:7] == [PAD, EPAD, 10, 11, PAD, EPAD, 12]
    assert tokens[7:] == [None, None]
    assert changes == [(2, "expired"), (1, "started"), (1, "finished")]


def test_cancelling_takes_out_one_and_leaves_the_others() -> None:
    injections = line(gap_frames=1)
    for number in (1, 2, 3):
        injections.say(say(number, deadline=0), ONE if number == 1 else TWO)
    run(injections, [N, N])
    injections.cancel(2)
    injections.cancel(1)
    injections.cancel(9)
    tokens, changes = run(injections, [N, N, N])
    assert tokens == [EPAD, 20, None]
    assert changes == [(2, "cancelled"), (1, "cancelled"), (3, "started"), (3, "finished")]


def test_only_a_text_that_has_begun_and_yields_gives_way() -> None:
    injections = line()
    injections.say(say(1, deadline=0, yields=True), ONE)
    injections.yield_to_caller()
    run(injections, [N, N])
    assert injections.speaking
    injections.yield_to_caller()
    assert run(injections, [N])[1] == [(1, "cancelled")]
    injections.say(say(2, deadline=0), ONE)
    run(injections, [N, N])
    injections.yield_to_caller()
    assert injections.speaking


@given(WISHES, st.integers(0, 3), st.integers(0, 20), st.booleans(), st.integers(0, 8))
def test_every_text_is_spoken_whole_and_in_order(
    wished: list[Wish], settle: int, gap: int, announce: bool, deadline: int
) -> None:
    injections = line(settle_frames=settle, gap_frames=gap, announce=announce)
    injections.say(say(1, deadline), ONE)
    injections.say(say(2, deadline), TWO)
    tokens, changes = run(injections, [*wished, *[N] * 120])
    assert [token for token in tokens if token not in (None, PAD, EPAD)] == [10, 11, 12, 20]
    assert changes == [(number, status) for number in (1, 2) for status in ("started", "finished")]
    assert not injections.speaking


@given(WISHES, WISHES, st.integers(0, 3))
def test_it_goes_on_from_what_it_exports(before: list[Wish], after: list[Wish], settle: int) -> None:
    left, right = line(settle_frames=settle), line(settle_frames=settle)
    for injections in (left, right):
        injections.say(say(1, 4, expires_frames=9, yields=True), (*ONE, (13, 14)))
        injections.say(say(2, 4), TWO)
        run(injections, before)
    left.cancel(2)
    right.cancel(2)
    again = line(settle_frames=settle)
    again.restore(json.loads(json.dumps(left.export())), range(30))
    assert run(again, after) == run(right, after)
    assert again.export() == right.export()


@pytest.mark.parametrize(
    "damage",
    [
        {"line": None},
        {"line": [{"id": 1}]},
        {"word": [99]},
        {"word": [9]},
        {"line": [{**ITEM, "words": []}]},
        {"line": [{**ITEM, "words": [[]]}]},
        {"since_word": "soon"},
        {"changes": [1]},
    ],
)
def test_what_is_no_export_is_refused(damage: dict[str, Any]) -> None:
    state = {**line().export(), **damage}
    with pytest.raises((LookupError, TypeError, ValueError)):
        line().restore(state, range(30))
    with pytest.raises(KeyError):
        line().restore({}, range(30))
