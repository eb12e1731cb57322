"""What the model is judged on is nowhere in what it learns from."""

from __future__ import annotations

from coda_demo_model.callers import corpus_variants
from coda_demo_model.calling import heard, injected_sentences
from coda_demo_model.evaluation_sets import load_sets
from coda_demo_model.script import load_script
from coda_demo_model.voice import FRAME


def test_unseen_phrasings_are_unseen_and_made_of_the_callers_words() -> None:
    script, sets = load_script(), load_sets()
    trained = {phrasing for intent in script.intents for phrasing in intent.phrasings}
    unseen = [text for texts in sets.unseen_phrasings.values() for text in texts]
    assert len(unseen) == len(set(unseen)) == 100
    assert set(sets.unseen_phrasings) == set(script.replies)
    assert not trained & set(unseen)
    assert {word for text in unseen for word in text.split()} <= set(script.caller_words)


def test_no_voice_that_judges_is_in_the_corpus() -> None:
    sets = load_sets()
    assert not set(corpus_variants(sets.held_out_variants)) & sets.held_out_variants
    assert not set(sets.callers.espeak) & set(sets.validation.espeak)
    assert not set(sets.callers.flite) & set(sets.validation.flite)


def test_injected_sentences_are_the_same_every_time() -> None:
    sentences = injected_sentences()
    assert sentences == injected_sentences()
    assert len(sentences) == load_sets().injected_sentences
    assert {word for text in sentences for word in text.split()} <= set(load_script().vocabulary)


def test_nobody_calls_in_whole_frames() -> None:
    assert heard([], 1.0).shape == (0, 12 * FRAME)
