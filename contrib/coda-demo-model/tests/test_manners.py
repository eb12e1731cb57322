"""Callers are polite, and never in the words of a phrasing that judges."""

from __future__ import annotations

import numpy as np

from coda_demo_model.evaluation_sets import load_sets
from coda_demo_model.manners import with_manners
from coda_demo_model.script import load_script


def test_a_phrasing_stays_whole_and_some_get_words_around_it() -> None:
    bits = np.random.default_rng(0)
    said = [with_manners("what is your name", bits) for _ in range(200)]
    assert all("what is your name" in text for text in said)
    assert 100 < sum(text == "what is your name" for text in said) < 160


def test_no_phrasing_that_judges_comes_of_it() -> None:
    bits = np.random.default_rng(1)
    judging = {text for texts in load_sets().unseen_phrasings.values() for text in texts}
    phrasings = [phrasing for intent in load_script().intents for phrasing in intent.phrasings]
    assert not judging & {with_manners(phrasing, bits) for phrasing in phrasings for _ in range(40)}
