"""The evaluation sets, which were fixed before the first training."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

import attrs

__all__ = ["CallerVoices", "EvaluationSets", "load_sets"]


@attrs.frozen
class CallerVoices:
    """Voices that are in no corpus."""

    espeak: tuple[str, ...]
    """Variants of espeak-ng."""
    flite: tuple[str, ...]


@attrs.frozen(kw_only=True)
class EvaluationSets:
    """What ``evaluation.toml`` says."""

    seed: int
    callers: CallerVoices
    validation: CallerVoices
    trained_phrasings: int
    validation_calls: int
    interruptions: int
    injected_sentences: int
    injected_words: int
    quiet_seconds: int
    noise_rms: tuple[float, ...]
    noise_colours: tuple[str, ...]
    music_rms: tuple[float, ...]
    unseen_phrasings: dict[str, tuple[str, ...]]
    """By the names of their intents."""

    @property
    def held_out_variants(self) -> frozenset[str]:
        """Variants of espeak-ng that no stage of the training may use."""
        return frozenset((*self.callers.espeak, *self.validation.espeak))


@cache
def load_sets() -> EvaluationSets:
    """Read ``evaluation.toml``, which is part of this package."""
    raw: dict[str, Any] = tomllib.loads(files(__package__).joinpath("evaluation.toml").read_text(encoding="utf-8"))
    quiet = raw["quiet"]
    return EvaluationSets(
        seed=raw["seed"],
        callers=_voices(raw["callers"]),
        validation=_voices(raw["validation"]),
        trained_phrasings=raw["callers"]["trained_phrasings"],
        validation_calls=raw["validation"]["trained_phrasings"],
        interruptions=raw["callers"]["interruptions"],
        injected_sentences=raw["injection"]["sentences"],
        injected_words=raw["injection"]["words"],
        quiet_seconds=quiet["seconds"],
        noise_rms=tuple(quiet["noise_rms"]),
        noise_colours=tuple(quiet["noise_colours"]),
        music_rms=tuple(quiet["music_rms"]),
        unseen_phrasings={name: tuple(phrases) for name, phrases in raw["unseen_phrasings"].items()},
    )


def _voices(raw: dict[str, Any]) -> CallerVoices:
    return CallerVoices(tuple(raw["espeak"]), tuple(raw["flite"]))
