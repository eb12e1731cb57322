"""How a conversation samples: what the stack says, what the checkpoint recommends, what the conversation asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import attrs

from coda_core.errors import ConversationError, ModelError
from coda_core.interfaces import SlotOptions

if TYPE_CHECKING:
    from coda_moshi.config import MoshiConfig

__all__ = ["SamplingSettings"]


@attrs.frozen(kw_only=True)
class SamplingSettings:
    """Settings with nothing left open. A temperature of 0 is greedy; a top-k is at least 1."""

    seed: int | None
    """None where each conversation brings its own."""
    text_temperature: float
    audio_temperature: float
    text_top_k: int
    audio_top_k: int

    @classmethod
    def of_stack(cls, config: MoshiConfig, recommended: Mapping[str, Any], *, text_card: int, card: int) -> Self:
        """Return what holds for conversations that ask for nothing.

        `recommended` is the checkpoint's ``lm_gen_config``; where it is silent, the moshi package's defaults hold.
        """
        return cls(
            seed=config.seed,
            text_temperature=0.0 if config.greedy else _first(config.text_temperature, recommended, "temp_text", 0.7),
            audio_temperature=0.0 if config.greedy else _first(config.audio_temperature, recommended, "temp", 0.8),
            text_top_k=_tokens(_first(config.text_top_k, recommended, "top_k_text", 25), text_card),
            audio_top_k=_tokens(_first(config.audio_top_k, recommended, "top_k", 250), card),
        )

    def as_options(self) -> SlotOptions:
        """Return what a conversation would have to ask for to get these settings."""
        return SlotOptions(
            seed=self.seed,
            text_temperature=self.text_temperature,
            audio_temperature=self.audio_temperature,
            text_top_k=self.text_top_k,
            audio_top_k=self.audio_top_k,
        )

    def asked(self, options: SlotOptions) -> Self:
        """Return these settings with what a conversation asks for; a top-k may only be lowered.

        Raises `ConversationError` where it asks for what cannot be had.
        """
        greedy = options.greedy
        text = self.text_temperature if options.text_temperature is None else options.text_temperature
        audio = self.audio_temperature if options.audio_temperature is None else options.audio_temperature
        for name, temperature in (("text_temperature", text), ("audio_temperature", audio)):
            if not 0 <= temperature <= 100:
                raise ConversationError(f"{name} is {temperature}; give a number from 0 (greedy) to 100")
        if greedy is False and (text == 0 or audio == 0):
            raise ConversationError(
                "greedy is off, but this stack's temperatures are 0; give text_temperature and audio_temperature too"
            )
        return attrs.evolve(
            self,
            seed=self.seed if options.seed is None else options.seed,
            text_temperature=0.0 if greedy else text,
            audio_temperature=0.0 if greedy else audio,
            text_top_k=_lowered("text_top_k", options.text_top_k, self.text_top_k),
            audio_top_k=_lowered("audio_top_k", options.audio_top_k, self.audio_top_k),
        )


def _first(configured: float | None, recommended: Mapping[str, Any], name: str, default: float) -> Any:
    if configured is not None:
        return configured
    value = recommended.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ModelError(f"config.json: lm_gen_config.{name} is {value!r}; expected a number from 0 up")
    return value


def _tokens(top_k: float, vocabulary: int) -> int:
    return min(int(top_k), vocabulary) or vocabulary


def _lowered(name: str, asked: int | None, most: int) -> int:
    if asked is None:
        return most
    if not 1 <= asked <= most:
        raise ConversationError(
            f"{name} is {asked}; this stack allows 1 to {most}. To allow more, raise {name} of its processor."
        )
    return asked
