"""Stage `corpus`: all speech that the other stages learn from, rendered once and kept in a folder.

Calls of the script's phrasings and of drawn words, in every voice that is not kept for judging; and every word of the
model's own voice.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs
import numpy as np

from coda_demo_model.callers import Call, call_by_espeak, corpus_variants
from coda_demo_model.evaluation_sets import load_sets
from coda_demo_model.script import load_script
from coda_demo_model.voice import Word, know_words, say_word

__all__ = ["Corpus", "CorpusSize", "load_corpus", "render_corpus"]

_FILE: Final = "corpus.pickle"
_STRETCH: Final = 0.16


@attrs.frozen(kw_only=True)
class CorpusSize:
    """How much to render."""

    calls_of_an_intent: int = 300
    """Each phrasing is rendered about as often as the others of its intent."""
    drawn_sentences: int = 2100
    """Sentences of words that mean nothing together, from which hearing words is learnt."""
    own_words: int | None = None
    """Words of the model's voice that are made ahead, by default all; others are made where they are needed."""


@attrs.frozen(eq=False)
class Corpus:
    """Everything that callers say."""

    calls: tuple[Call, ...]
    """With an intent."""
    drawn: tuple[Call, ...]
    """Without."""
    words: tuple[tuple[Word, bool], ...]
    """The model's own, each within a sentence and as its last word."""


def render_corpus(folder: Path, size: CorpusSize, seed: int) -> Corpus:
    """Render the calls and keep them in `folder`; the same seed makes the same calls."""
    corpus = Corpus(
        tuple(_calls(size, np.random.default_rng((seed, 1)))),
        tuple(_drawn(size, np.random.default_rng((seed, 2)))),
        tuple(
            (say_word(word, last=last), last)
            for word in load_script().vocabulary[: size.own_words]
            for last in (False, True)
        ),
    )
    folder.mkdir(parents=True, exist_ok=True)
    making = folder / f"{_FILE}.part"
    with making.open("wb") as file:
        pickle.dump(corpus, file)
    making.replace(folder / _FILE)
    return corpus


def load_corpus(folder: Path) -> Corpus:
    """Return what `render_corpus` kept in `folder`, after which `say` knows its words.

    Raises `FileNotFoundError` where it kept nothing.
    """
    with (folder / _FILE).open("rb") as file:
        corpus = pickle.load(file)
    assert isinstance(corpus, Corpus)
    know_words(corpus.words)
    return corpus


def _calls(size: CorpusSize, bits: np.random.Generator) -> Iterator[Call]:
    voices = corpus_variants(load_sets().held_out_variants)
    for intent in load_script().intents:
        order = [int(index) for index in bits.permutation(len(intent.phrasings))]
        for number in range(size.calls_of_an_intent):
            text = intent.phrasings[order[number % len(order)]]
            yield call_by_espeak(intent.name, text, str(bits.choice(voices)), bits, stretch=_STRETCH)


def _drawn(size: CorpusSize, bits: np.random.Generator) -> Iterator[Call]:
    voices = corpus_variants(load_sets().held_out_variants)
    words = load_script().caller_words
    for _ in range(size.drawn_sentences):
        text = " ".join(str(word) for word in bits.choice(words, int(bits.integers(2, 7)), replace=False))
        yield call_by_espeak("", text, str(bits.choice(voices)), bits, stretch=_STRETCH)
