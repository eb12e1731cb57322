"""Stage `corpus`: all speech that the other stages learn from, rendered once and kept in a folder.

Calls of the script's phrasings and of drawn words, in every voice that is not kept for judging; and every word of the
model's own voice.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs
import numpy as np

from coda_demo_model.callers import Call, call_by_another, call_by_espeak, corpus_variants
from coda_demo_model.evaluation_sets import load_sets
from coda_demo_model.manners import with_manners
from coda_demo_model.script import load_script
from coda_demo_model.voice import Word, know_words, say_word

__all__ = ["Corpus", "CorpusSize", "corpus_is_rendered", "load_corpus", "render_corpus"]

_FILE: Final = "corpus.pickle"
_STRETCH: Final = 0.16
_STRETCH_OF_FEW: Final = 0.22
"""Of engines with so few voices that each must stand for several people."""
_OTHERS: Final = 0.5
"""Share of the calls by other engines than espeak-ng."""


@attrs.frozen(kw_only=True)
class CorpusSize:
    """How much to render."""

    calls_of_an_intent: int = 420
    """Each phrasing is rendered about as often as the others of its intent."""
    drawn_sentences: int = 2900
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


def corpus_is_rendered(folder: Path) -> bool:
    """Return whether `render_corpus` came to its end in `folder`."""
    return (folder / _FILE).exists()


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
            text = with_manners(intent.phrasings[order[number % len(order)]], bits)
            yield _call(intent.name, text, voices, bits)


def _drawn(size: CorpusSize, bits: np.random.Generator) -> Iterator[Call]:
    voices = corpus_variants(load_sets().held_out_variants)
    words = load_script().caller_words
    for _ in range(size.drawn_sentences):
        text = " ".join(str(word) for word in bits.choice(words, int(bits.integers(2, 7)), replace=False))
        yield _call("", text, voices, bits)


def _call(intent: str, text: str, voices: Sequence[str], bits: np.random.Generator) -> Call:
    if bits.random() < _OTHERS:
        return call_by_another(intent, text, bits, stretch=_STRETCH_OF_FEW)
    return call_by_espeak(intent, text, str(bits.choice(voices)), bits, stretch=_STRETCH)
