"""The script expands as its file says, and is free of contradictions."""

from __future__ import annotations

import itertools

import pytest

from coda_demo_model.script import expand, load_script


@pytest.mark.parametrize(
    ("pattern", "phrases"),
    [
        ("hello", ("hello",)),
        ("(hi|hey) coda", ("hi coda", "hey coda")),
        ("(please|) sing (now|)", ("please sing now", "please sing", "sing now", "sing")),
        ("a (b|b)", ("a b",)),
    ],
)
def test_alternatives_are_expanded_in_order(pattern: str, phrases: tuple[str, ...]) -> None:
    assert expand(pattern) == phrases


def test_no_phrasing_belongs_to_two_intents() -> None:
    owners: dict[str, str] = {}
    for intent in load_script().intents:
        for phrasing in intent.phrasings:
            assert owners.setdefault(phrasing, intent.name) == intent.name


def test_the_vocabulary_has_every_word_of_every_reply_and_three_hundred_in_all() -> None:
    script = load_script()
    spoken = set(itertools.chain.from_iterable(reply.split() for reply in script.replies.values()))
    assert spoken <= set(script.vocabulary)
    assert list(script.vocabulary) == sorted(set(script.vocabulary))
    assert len(script.vocabulary) >= 300


def test_replies_differ() -> None:
    replies = list(load_script().replies.values())
    assert len(replies) == len(set(replies)) >= 20
