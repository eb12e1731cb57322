"""What one slot is told, step by step, without a model."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coda_core.commands import Cancel, Interrupt, Say
from coda_core.errors import ModelError
from coda_moshi.injection import Marks
from coda_moshi.injection_rule import InjectionRule
from coda_moshi.onsets import Wish
from coda_moshi.prompting import Prompt
from coda_moshi.slot_script import Directive, Manner, SlotScript

PAD, EPAD = 3, 0
MANNER = Manner(
    rule=InjectionRule(settle_frames=1, gap_frames=3),
    padding=PAD,
    end_of_padding=EPAD,
    text_tokens=30,
    text_lag=2,
    audio_lag=3,
)
WORDS = ((10, 11), (12,))
N, A, B = Wish.NOTHING, Wish.ANNOUNCE, Wish.BEGIN


def say(number: int = 1, deadline: int = 0) -> Say:
    return Say(id=number, text="", deadline_frames=deadline)


def go(script: SlotScript, wishes: list[Wish], speaking: list[bool] | None = None) -> list[tuple[Directive, Marks]]:
    found, was = [], False
    for index, wish in enumerate(wishes):
        now = bool(speaking and speaking[index])
        told = script.before(now, was_speaking=was)
        found.append((told, script.after(wish)))
        was = now
    return found


def test_a_conversation_that_asks_for_nothing_is_at_rest() -> None:
    script = SlotScript(MANNER)
    go(script, [N, N])
    assert script.at_rest
    assert not SlotScript(MANNER, greeting=False).at_rest
    assert not SlotScript(MANNER, prompted=True).at_rest


def test_what_becomes_of_a_text_is_told_with_the_output_of_its_piece() -> None:
    script = SlotScript(MANNER)
    script.command(say(), WORDS)
    steps = go(script, [N] * 12)
    tokens = [None if told.tokens is None else told.tokens[N] for told, _ in steps]
    assert tokens == [EPAD, 10, 11, PAD, PAD, PAD, EPAD, 12, None, None, None, None]
    assert [index for index, (_, marks) in enumerate(steps) if marks.injected] == [2, 3, 4, 8, 9]
    assert [(index, marks.changes) for index, (_, marks) in enumerate(steps) if marks.changes] == [
        (3, ((1, "started"),)),
        (9, ((1, "finished"),)),
    ]
    assert script.at_rest


def test_a_prompt_goes_before_everything_and_hides_what_it_brings_forth() -> None:
    prompt = Prompt((PAD, 7, 8), np.ones((1, 4), np.float32), "key")
    script = SlotScript(MANNER, prompt=prompt)
    script.command(say(), WORDS)
    assert (script.prompt_steps, script.prompt_key) == (3, "key")
    steps = go(script, [N] * 8)
    assert [told.prompting for told, _ in steps] == [True] * 3 + [False] * 5
    assert [told.tokens and told.tokens[N] for told, _ in steps[:5]] == [PAD, 7, 8, EPAD, 10]
    assert [told.voice is not None for told, _ in steps[:3]] == [True, False, False]
    assert [told.hidden for told, _ in steps] == [True] * 6 + [False] * 2


def test_silence_is_faded_in_and_outlasts_itself_by_the_delay() -> None:
    script = SlotScript(MANNER)
    script.command(Interrupt(frames=2))
    told = [told for told, _ in go(script, [N] * 7)]
    assert [one.silent for one in told] == [True] * 2 + [False] * 5
    assert [one.muted for one in told] == [True] * 5 + [False] * 2
    assert [one.fading for one in told] == [True] + [False] * 6
    assert told[0].tokens == (PAD,) * 3
    assert script.at_rest


def test_no_greeting_is_silence_from_the_beginning() -> None:
    script = SlotScript(MANNER, greeting=False)
    told = [told for told, _ in go(script, [B] * 9, [False] * 4 + [True] * 5)]
    assert [one.silent for one in told] == [True] * 5 + [False] * 4
    assert not any(one.fading for one in told)


_events = st.lists(
    st.tuples(
        st.sampled_from(list(Wish)),
        st.booleans(),
        st.sampled_from([None, None, None, "say", "cancel", "interrupt", "pause"]),
    ),
    max_size=40,
)


@given(_events, st.integers(0, 40), st.booleans())
def test_it_goes_on_from_what_it_exports(
    events: list[tuple[Wish, bool, str | None]], parked_at: int, prompted: bool
) -> None:
    prompt = Prompt((PAD, PAD, 7, 8), np.ones((2, 4), np.float32), "key")
    one = SlotScript(MANNER, prompt=prompt if prompted else None, greeting=not prompted)
    other = SlotScript(MANNER, prompt=prompt if prompted else None, greeting=not prompted)
    was = False
    for step, (wish, speaking, asked) in enumerate(events):
        if step == parked_at:
            state, voice = other.export()
            other = SlotScript.restored(MANNER, json.loads(json.dumps(state)), voice)
        for script in (one, other):
            if asked == "say":
                script.command(Say(id=step, text="", deadline_frames=2, yields=step % 2 == 0), (*WORDS, (13, 14)))
            elif asked == "cancel":
                script.command(Cancel(id=step - 1))
            elif asked is not None:
                script.command(Interrupt(frames=2 if asked == "pause" else None), caller_speaking=was)
        mine, its = (script.before(speaking, was_speaking=was) for script in (one, other))
        assert mine._replace(voice=None) == its._replace(voice=None)
        assert np.array_equal(mine.voice, its.voice) if mine.voice is not None else its.voice is None  # type: ignore[arg-type]
        assert one.after(wish) == other.after(wish)
        assert one.at_rest == other.at_rest
        was = speaking


@pytest.mark.parametrize("damage", [{"prompt": [30]}, {"coming": [[True]]}, {"hidden": None}, {"injections": []}])
def test_what_is_no_export_is_refused(damage: dict[str, Any]) -> None:
    state, voice = SlotScript(MANNER).export()
    with pytest.raises(ModelError, match="its script is not sound"):
        SlotScript.restored(MANNER, {**state, **damage}, voice)
