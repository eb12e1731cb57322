"""The time line: who spoke when, from flags whose truth is known."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import attrs
import pytest

from coda_core.events import Event
from coda_core.state import InterruptionSeen, Phase, PhaseChanged, TurnEnded
from coda_state.timeline import Rules, Timeline

RULES = Rules(turn_pause=12, waiting_after=38, yield_within=10)


def spoken(drawing: str, hangover: int) -> list[bool]:
    """Return what the detection gives for speech at every ``#``: as many frames more as its hangover."""
    return ["#" in drawing[max(at - hangover, 0) : at + 1] for at in range(len(drawing))]


def run(caller: str, moshi: str, hangover: int = 4, texts: Sequence[int] = ()) -> tuple[Timeline, list[Event]]:
    """Take in speech drawn as ``#`` and silence as ``.``, to the end of the longer of the two."""
    length = max(len(caller), len(moshi))
    flags = [spoken(side.ljust(length, "."), hangover) for side in (caller, moshi)]
    line, events = Timeline(hangover=hangover), list[Event]()
    for at, (caller_speaking, moshi_speaking) in enumerate(zip(*flags, strict=True)):
        line.take(RULES, caller_speaking, moshi_speaking, at in texts, True, events)
    line.finish(RULES, events)
    return line, events


def turns(events: Sequence[Event]) -> list[tuple[str, int, int | None, int, int | None]]:
    return [
        (event.speaker, event.start_frame, event.frame, event.speech_frames, event.response_frames)
        for event in events
        if isinstance(event, TurnEnded)
    ]


def phases(events: Sequence[Event]) -> list[tuple[int | None, Phase]]:
    return [(event.frame, event.phase) for event in events if isinstance(event, PhaseChanged)]


@pytest.mark.parametrize("hangover", [0, 1, 4, 10])
def test_a_question_and_its_answer(hangover: int) -> None:
    line, events = run("." * 10 + "#" * 20 + "." * 40, "." * 36 + "#" * 15, hangover)
    assert turns(events) == [("caller", 10, 30, 20, None), ("moshi", 36, 51, 15, 6)]
    assert (line.caller_frames, line.moshi_frames, line.overlap_frames, line.silence_frames) == (20, 15, 0, 35)
    assert (line.caller_turns, line.moshi_turns, line.exchanges, line.interruptions) == (1, 1, 1, 0)
    assert line.responses.spread().p50 == 6
    assert phases(events) == [(0, "listening"), (30, "processing"), (36, "responding"), (51, "listening")]


def test_a_pause_inside_a_turn_does_not_end_it() -> None:
    _, events = run("#" * 10 + "." * 11 + "#" * 10 + "." * 20, "")
    assert turns(events) == [("caller", 0, 31, 20, None)]


def test_a_long_pause_ends_it() -> None:
    line, events = run("#" * 10 + "." * 12 + "#" * 10 + "." * 20, "")
    assert turns(events) == [("caller", 0, 10, 10, None), ("caller", 22, 32, 10, None)]
    assert line.exchanges == 0


def test_who_is_silent_while_the_other_speaks_has_given_up_the_turn() -> None:
    _, events = run("#" * 10 + "." * 4 + "." * 6 + "#" * 10, "." * 12 + "#" * 8)
    assert turns(events) == [("caller", 0, 10, 10, None), ("moshi", 12, 20, 8, 2), ("caller", 20, 30, 10, None)]


def test_an_interruption_to_which_moshi_yields() -> None:
    line, events = run("." * 20 + "#" * 30, "#" * 26)
    assert [event for event in events if isinstance(event, InterruptionSeen)] == [
        InterruptionSeen(frame=20, yielded=True, yield_frames=6)
    ]
    assert (line.interruptions, line.yielded, line.overlaps, line.overlap_frames) == (1, 1, 1, 6)


def test_an_interruption_to_which_moshi_does_not_yield() -> None:
    line, events = run("." * 20 + "#" * 30, "#" * 60)
    assert [event for event in events if isinstance(event, InterruptionSeen)] == [InterruptionSeen(frame=20)]
    assert (line.interruptions, line.yielded) == (1, 0)


def test_the_last_moment_to_yield() -> None:
    for late, yielded in ((0, True), (1, False)):
        _, events = run("." * 20 + "#" * 30, "#" * (20 + RULES.yield_within + late))
        assert [event.yielded for event in events if isinstance(event, InterruptionSeen)] == [yielded]


def test_both_beginning_at_once_is_no_interruption() -> None:
    line, _ = run("." * 5 + "#" * 5, "." * 5 + "#" * 20)
    assert (line.interruptions, line.overlap_frames) == (0, 5)


def test_a_word_thrown_in_asks_for_no_answer() -> None:
    line, events = run("." * 10 + "##" + "." * 80, "#" * 40 + "." * 30 + "#" * 10)
    assert line.exchanges == 0
    assert [turn[4] for turn in turns(events) if turn[0] == "moshi"] == [None, None]
    assert "processing" not in [phase for _, phase in phases(events)]


def test_an_answer_that_begins_too_early_is_an_exchange_without_a_response_time() -> None:
    line, events = run("#" * 20 + "." * 30, "." * 18 + "#" * 20)
    assert line.exchanges == 1
    assert turns(events) == [("caller", 0, 20, 20, None), ("moshi", 18, 38, 20, None)]


def test_nobody_speaks() -> None:
    line, events = run("." * 100, "")
    assert phases(events) == [(0, "listening"), (37, "waiting")]
    assert (line.silences, line.unanswered, line.longest_silence_frames) == (1, 0, 100)


def test_nobody_answers() -> None:
    line, events = run("#" * 10 + "." * 100, "." * 90 + "#" * 5)
    assert phases(events) == [
        (0, "listening"),
        (10, "processing"),
        (47, "waiting"),
        (90, "responding"),
        (95, "listening"),
    ]
    assert (line.unanswered, line.exchanges) == (1, 1)
    assert line.responses.spread().maximum == 80


def test_text_is_a_response_before_it_is_heard() -> None:
    _, events = run("#" * 10 + "." * 40, "." * 20 + "#" * 10, texts=(16,))
    assert phases(events)[:3] == [(0, "listening"), (10, "processing"), (16, "responding")]


def test_until_moshi_is_audible_it_initializes() -> None:
    line, events = Timeline(hangover=2), list[Event]()
    for at in range(10):
        line.take(RULES, False, False, False, at >= 3, events)
    line.finish(RULES, events)
    assert phases(events) == [(3, "listening")]


def drawn(draw: random.Random, length: int) -> str:
    """Return speech and silence of random lengths."""
    kinds = itertools.cycle(draw.sample("#.", 2))
    return "".join(kind * draw.randint(1, 40) for kind, _ in zip(kinds, range(length), strict=False))[:length]


@pytest.mark.parametrize("seed", range(20))
def test_what_is_counted_adds_up(seed: int) -> None:
    draw = random.Random(seed)
    hangover = draw.randint(0, 6)
    # A pause that is shorter than the hangover is none to the detection.
    caller, moshi = ("".join(filled(drawn(draw, 400), hangover)) for _ in range(2))
    line, events = run(caller + "." * 60, moshi + "." * 60, hangover)
    assert line.frame == line.seen == 460
    both = [(a == "#", b == "#") for a, b in zip(caller, moshi, strict=True)]
    assert line.caller_frames == caller.count("#")
    assert line.moshi_frames == moshi.count("#")
    assert line.overlap_frames == sum(a and b for a, b in both)
    assert line.silence_frames == 60 + sum(not (a or b) for a, b in both)
    ended = turns(events)
    for speaker, frames in (("caller", line.caller_frames), ("moshi", line.moshi_frames)):
        assert sum(turn[3] for turn in ended if turn[0] == speaker) == frames
    assert line.caller_turns + line.moshi_turns == len(ended)
    assert line.yielded <= line.interruptions <= line.caller_turns
    assert line.responses.count <= line.exchanges <= line.moshi_turns
    changes = [event for event in events if isinstance(event, PhaseChanged)]
    assert [event.before for event in changes[1:]] == [event.phase for event in changes[:-1]]
    assert all(event.phase != event.before for event in changes)


def filled(drawing: str, hangover: int) -> list[str]:
    """Close the pauses that a detection with this hangover cannot see."""
    signs = list(drawing)
    for sign, group in itertools.groupby(enumerate(drawing), key=lambda item: item[1]):
        places = [at for at, _ in group]
        if sign == "." and len(places) <= hangover and places[0] > 0:
            signs[places[0] : places[-1] + 1] = "#" * len(places)
    return signs


@pytest.mark.parametrize("seed", range(5))
def test_parked_anywhere_it_goes_on_as_if_nothing_was(seed: int) -> None:
    draw = random.Random(seed)
    flags = [(draw.random() < 0.5, draw.random() < 0.5, draw.random() < 0.1) for _ in range(300)]
    whole, parked = Timeline(hangover=3), Timeline(hangover=3)
    told: list[Event] = []
    pieces: list[Event] = []
    for caller, moshi, text in flags:
        whole.take(RULES, caller, moshi, text, True, told)
        parked = Timeline.from_json(parked.to_json())
        parked.take(RULES, caller, moshi, text, True, pieces)
    assert pieces == told
    assert attrs.asdict(parked) == attrs.asdict(whole)


@pytest.mark.parametrize("seed", range(60))
def test_frames_in_which_nothing_happens_can_be_skipped(seed: int) -> None:
    """Told only of what `still` does not promise, a time line finds the same, at the same frames."""
    draw = random.Random(seed)
    hangover = draw.choice([0, 1, 4, 10])
    rules = Rules(turn_pause=draw.randint(1, 14), waiting_after=draw.randint(1, 40), yield_within=draw.randint(0, 12))
    told, skipping = Timeline(hangover=hangover), Timeline(hangover=hangover)
    events, found = list[Event](), list[Event]()
    flags, due, skipped = (False, False, False), 0, 0
    for at in range(400):
        before = flags
        flags = (flags[0] ^ (draw.random() < 0.05), flags[1] ^ (draw.random() < 0.05), flags[2] or draw.random() < 0.2)
        text = draw.random() < (0.3 if flags[1] else 0.05)
        caller, moshi, audible = flags
        told.take(rules, caller, moshi, text, audible, events)
        if flags != before or at >= due or (text and not skipping.speech):
            skipping.skip(at - skipping.seen)
            skipping.take(rules, caller, moshi, text, audible, found)
            due = skipping.seen + skipping.still(rules)
        else:
            skipped += 1
            if text:
                skipping.texts.append(at)
        if draw.random() < 0.02:
            skipping.skip(at + 1 - skipping.seen)
            assert skipping == told
    skipping.skip(400 - skipping.seen)
    told.finish(rules, events)
    skipping.finish(rules, found)
    assert (skipping, found) == (told, events)
    assert skipped > 100
