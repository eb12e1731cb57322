from __future__ import annotations

from typing import Any

import pytest

from coda_core.errors import ConversationError, ModelError
from coda_core.interfaces import SlotOptions
from coda_moshi.config import MoshiConfig
from coda_moshi.sampling_settings import SamplingSettings


def of_stack(recommended: dict[str, Any] | None = None, **settings: Any) -> SamplingSettings:
    return SamplingSettings.of_stack(MoshiConfig(**settings), recommended or {}, text_card=32_000, card=2048)


def test_defaults_are_those_of_the_moshi_package() -> None:
    assert of_stack() == SamplingSettings(
        seed=None, text_temperature=0.7, audio_temperature=0.8, text_top_k=25, audio_top_k=250
    )


def test_a_checkpoint_recommends_and_the_stack_decides() -> None:
    recommended = {"temp": 0.3, "temp_text": 0.2, "top_k": 30, "top_k_text": 10}
    assert of_stack(recommended) == SamplingSettings(
        seed=None, text_temperature=0.2, audio_temperature=0.3, text_top_k=10, audio_top_k=30
    )
    assert of_stack(recommended, text_temperature=1.0, audio_top_k=7) == SamplingSettings(
        seed=None, text_temperature=1.0, audio_temperature=0.3, text_top_k=10, audio_top_k=7
    )


def test_a_top_k_of_zero_or_beyond_the_vocabulary_is_all_of_it() -> None:
    settings = of_stack(text_top_k=0, audio_top_k=5000)
    assert (settings.text_top_k, settings.audio_top_k) == (32_000, 2048)


def test_greedy_is_a_temperature_of_zero() -> None:
    settings = of_stack(greedy=True, text_temperature=0.5)
    assert (settings.text_temperature, settings.audio_temperature) == (0, 0)


@pytest.mark.parametrize("value", ["warm", -1, True, float("nan"), None])
def test_a_recommendation_that_is_no_number_is_named(value: object) -> None:
    with pytest.raises(ModelError, match=r"lm_gen_config.temp is .*; expected a number from 0 up"):
        of_stack({"temp": value})


def test_a_conversation_asks_for_its_own() -> None:
    asked = of_stack().asked(
        SlotOptions(seed=9, text_temperature=0.1, audio_temperature=0.2, text_top_k=3, audio_top_k=4)
    )
    assert asked == SamplingSettings(seed=9, text_temperature=0.1, audio_temperature=0.2, text_top_k=3, audio_top_k=4)
    assert of_stack().asked(SlotOptions()) == of_stack()


def test_a_conversation_may_be_greedy_or_not() -> None:
    assert of_stack().asked(SlotOptions(greedy=True)).text_temperature == 0
    assert of_stack().asked(SlotOptions(greedy=False)) == of_stack()
    warm = of_stack(greedy=True).asked(SlotOptions(greedy=False, text_temperature=0.7, audio_temperature=0.8))
    assert warm == of_stack()
    with pytest.raises(ConversationError, match="greedy is off, but this stack's temperatures are 0"):
        of_stack(greedy=True).asked(SlotOptions(greedy=False))


def test_what_a_stack_gives_can_be_asked_for_again() -> None:
    settings = SamplingSettings.of_stack(MoshiConfig(seed=5, text_temperature=0.3), {}, text_card=100, card=50)
    assert settings.asked(settings.as_options()) == settings
    assert settings.asked(SlotOptions()) == settings


def test_a_stack_without_a_seed_leaves_it_to_the_conversation() -> None:
    settings = SamplingSettings.of_stack(MoshiConfig(), {}, text_card=100, card=50)
    assert settings.as_options().seed is None
    assert settings.asked(SlotOptions(seed=9)).seed == 9
