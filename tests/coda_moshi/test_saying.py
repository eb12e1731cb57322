"""What a slot is told to say or to leave unsaid: it comes out so, and nobody else notices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from coda_core.commands import Cancel, Command, Interrupt, Say
from coda_core.errors import ConversationError
from coda_core.interfaces import SlotOptions
from coda_moshi.onsets import Wish

Voice = Callable[[int, int], NDArray[np.float32]]
TEXT = "hello you"
LONG = "hello there thank you for that question"


@pytest.fixture(scope="module")
def three(open_processor: Any, brief_folder: Path, stage: Any) -> Iterator[Any]:
    with open_processor(brief_folder, 3) as processor:
        yield stage(processor)


class Talk:
    """One slot's steps, with what was said of them."""

    def __init__(self, stage: Any, slot: int = 1, **options: Any) -> None:
        self.stage, self.slot = stage, slot
        self.processor = stage.processor
        self.heard: list[Any] = []
        self.injected: list[bool] = []
        self.notices: list[tuple[int, int, str]] = []
        """Step, number and status."""
        self.steps = stage.open(slot, **options)

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *failure: object) -> None:
        self.stage.close(self.slot)

    def go(
        self,
        frames: NDArray[np.float32],
        commands: Mapping[int, Command] | None = None,
        speaking: Any = (),
    ) -> Talk:
        for frame in frames:
            now = len(self.heard)
            if commands and now in commands:
                self.processor.command(self.slot, commands[now])
            self.heard.append(self.stage.step({self.slot: frame}, (self.slot,) if now in speaking else ())[self.slot])
            output = self.stage.output
            self.injected.append(bool(output.injected[0]) if output.injected is not None else False)
            self.notices += [(now, notice.command, notice.status) for notice in output.notices]
        return self

    @property
    def tokens(self) -> list[int]:
        return [int(heard.token[0]) for heard in self.heard]

    @property
    def forced(self) -> list[int]:
        """Text tokens that were injected, in order."""
        vocabulary = self.processor.info.vocabulary
        found = zip(self.tokens, self.injected, strict=True)
        return [token for token, injected in found if injected and vocabulary.is_text(token)]

    @property
    def levels(self) -> list[float]:
        return [float(np.abs(heard.pcm).max()) for heard in self.heard]


@contextmanager
def wishing(processor: Any, wish: Wish) -> Iterator[None]:
    """Let the model be seen to wish the same in every step."""
    table = processor.batch.generator.steering._wishes
    with torch.inference_mode():
        before = table.clone()
        table.fill_(wish)
    try:
        yield
    finally:
        with torch.inference_mode():
            table.copy_(before)


def pieces(processor: Any, text: str) -> list[int]:
    return [piece for word in processor._model.wording.spoken(text) for piece in word]


def say(number: int = 1, text: str = TEXT, deadline: int = 3, **more: Any) -> Say:
    return Say(id=number, text=text, deadline_frames=deadline, **more)


@pytest.mark.parametrize("options", [{"greedy": True}, {"seed": 3}])
def test_pieces_come_out_in_order_and_marked(three: Any, voice: Voice, options: dict[str, Any]) -> None:
    with Talk(three, **options) as talk:
        talk.go(voice(1, 50), {5: say()})
        wanted = pieces(three.processor, TEXT)
        assert talk.forced == wanted
        assert [status for _, _, status in talk.notices] == ["started", "finished"]
        first, last = talk.notices[0][0], talk.notices[1][0]
        assert talk.tokens[first] == wanted[0]
        assert talk.tokens[last] == wanted[-1]
        assert first >= 5 + three.processor.info.delay_frames
        between = [token for token in talk.tokens[first : last + 1] if three.processor.info.vocabulary.is_text(token)]
        assert between == wanted
        assert not any(talk.injected[last + 1 :])
        assert not any(talk.injected[: first - 1])


def test_end_of_padding_stands_before_every_word(three: Any, voice: Voice) -> None:
    vocabulary = three.processor.info.vocabulary
    with Talk(three, greedy=True) as talk:
        talk.go(voice(2, 50), {4: say()})
        starts = [word[0] for word in three.processor._model.wording.spoken(TEXT)]
        begun = [
            index
            for index, (token, injected) in enumerate(zip(talk.tokens, talk.injected, strict=True))
            if injected and token in vocabulary.word_starts and token in starts
        ]
        assert len(begun) == len(starts)
        assert all(talk.tokens[index - 1] == vocabulary.end_of_padding for index in begun)


@pytest.mark.parametrize("folder", ["brief_folder", "late_folder"])
def test_the_deadline_begins_a_text_that_the_model_would_not(
    request: pytest.FixtureRequest, open_processor: Any, stage: Any, voice: Voice, folder: str
) -> None:
    with open_processor(request.getfixturevalue(folder), 1) as processor:
        lag = processor.info.delay_frames - processor.batch.generator.lm_model.delays[0]
        with wishing(processor, Wish.NOTHING), Talk(stage(processor), 0, seed=1) as talk:
            talk.go(voice(3, 60), {6: say(deadline=7)})
            # Seven steps wait, then end-of-padding, then the first piece; it comes out when the model's delay is over.
            assert talk.notices[0] == (6 + 7 + 1 + lag, 1, "started")
            assert talk.notices[1][1:] == (1, "finished")
            assert talk.forced == pieces(processor, TEXT)


def test_words_of_its_own_are_cut(three: Any, voice: Voice) -> None:
    vocabulary = three.processor.info.vocabulary
    with Talk(three, seed=5) as talk:
        talk.go(voice(4, 50), {10: say(deadline=1000)})
        first = 10 + three.processor.info.delay_frames
        last = talk.notices[-1][0] if len(talk.notices) == 2 else len(talk.tokens) - 1
        own = [
            token
            for token, injected in zip(talk.tokens[first:last], talk.injected[first:last], strict=True)
            if vocabulary.is_text(token) and not injected
        ]
        assert own == []


def test_texts_are_spoken_in_order(three: Any, voice: Voice) -> None:
    with Talk(three, seed=2) as talk:
        talk.go(voice(5, 90), {2: say(1, "hello"), 3: say(2, "good question"), 4: say(3, "yes")})
        spoken = pieces(three.processor, "hello") + pieces(three.processor, "good question")
        assert talk.forced == spoken + pieces(three.processor, "yes")
        assert [notice[1:] for notice in talk.notices] == [
            (number, status) for number in (1, 2, 3) for status in ("started", "finished")
        ]


def test_cancelled_before_and_while_it_is_spoken(three: Any, voice: Voice) -> None:
    with Talk(three, seed=2) as talk:
        talk.go(voice(5, 20), {2: say(1, LONG, deadline=2), 3: say(2)})
        assert (talk.notices[0][1:]) == (1, "started")
        talk.processor.command(1, Cancel(id=2))
        talk.processor.command(1, Cancel(id=1))
        talk.processor.command(1, Cancel(id=7))
        spoken = len(talk.forced)
        talk.go(voice(6, 20))
        assert [notice[1:] for notice in talk.notices[-2:]] == [(2, "cancelled"), (1, "cancelled")]
        assert len(talk.forced) <= spoken + 1


def test_what_does_not_begin_in_time_expires(three: Any, voice: Voice) -> None:
    with Talk(three, seed=2) as talk:
        commands = {2: say(1, deadline=0), 3: say(2, expires_frames=4), 4: say(3, "yes", deadline=0)}
        talk.go(voice(5, 70), commands)
        assert (2, "expired") in [notice[1:] for notice in talk.notices]
        assert talk.forced == pieces(three.processor, TEXT) + pieces(three.processor, "yes")


def test_a_text_yields_to_the_caller_once_it_has_begun(three: Any, voice: Voice) -> None:
    with Talk(three, seed=2) as talk:
        # The caller speaks already when it begins, and begins anew after a pause.
        talk.go(voice(5, 40), {4: say(1, LONG, deadline=2, yields=True)}, speaking=[*range(10), *range(14, 40)])
        assert [notice[1:] for notice in talk.notices] == [(1, "started"), (1, "cancelled")]
        assert talk.notices[1][0] == 14 + three.processor.info.delay_frames
    with Talk(three, seed=2) as talk:
        talk.go(voice(5, 90), {4: say(1, LONG, deadline=2)}, speaking=range(14, 30))
        assert [notice[1:] for notice in talk.notices] == [(1, "started"), (1, "finished")]


def test_an_interruption_is_silent_within_two_frames_until_the_caller_has_spoken(three: Any, voice: Voice) -> None:
    padding = three.processor.info.vocabulary.padding
    with Talk(three, seed=2) as talk:
        talk.go(voice(7, 50), {10: say(1, LONG, deadline=0), 20: Interrupt()}, speaking=range(40, 50))
        assert [notice[1:] for notice in talk.notices] == [(1, "started"), (1, "cancelled")]
        assert min(talk.levels[2:20]) > 0
        assert talk.levels[21:42] == [0.0] * 21
        assert set(talk.tokens[21:42]) == {padding}
        # One frame of the caller, and then the model's own delay.
        assert min(talk.levels[42:]) > 0


def test_an_interruption_ends_by_itself(three: Any, voice: Voice) -> None:
    with Talk(three, seed=2) as talk:
        talk.go(voice(7, 40), {10: Interrupt(frames=8)})
        assert talk.levels[11:19] == [0.0] * 8
        assert min(talk.levels[19:]) > 0


def test_a_caller_who_interrupts_is_let_finish(three: Any, voice: Voice) -> None:
    # A model that never lets go of its sentence.
    with wishing(three.processor, Wish.BEGIN), Talk(three, seed=2) as talk:
        talk.go(voice(7, 40), {10: Interrupt()}, speaking=range(8, 25))
        assert talk.levels[11:26] == [0.0] * 15
        assert min(talk.levels[26:]) > 0
    # One that has, and may answer before the caller is found to be quiet.
    with wishing(three.processor, Wish.NOTHING), Talk(three, seed=2) as talk:
        talk.go(voice(7, 40), {10: Interrupt()}, speaking=range(8, 38))
        assert talk.levels[11:17] == [0.0] * 6
        assert min(talk.levels[17:]) > 0


def test_without_a_greeting_the_caller_speaks_first(three: Any, voice: Voice) -> None:
    with Talk(three, seed=2, greeting=False) as talk:
        talk.go(voice(7, 30), speaking=range(20, 30))
        assert talk.levels[:22] == [0.0] * 22
        assert min(talk.levels[22:]) > 0


def test_a_text_that_is_asked_for_ends_the_silence(three: Any, voice: Voice) -> None:
    with Talk(three, seed=2, greeting=False) as talk:
        talk.go(voice(7, 50), {10: say(deadline=2)})
        assert talk.forced == pieces(three.processor, TEXT)
        assert talk.levels[:11] == [0.0] * 11
        assert min(talk.levels[11:]) > 0


def test_neighbours_keep_every_bit(three: Any, voice: Voice, join_rows: Any) -> None:
    """One slot is left alone while another is prompted, made to speak, interrupted and parked."""
    frames, others = voice(8, 40), voice(9, 40)
    alone = three.talk(0, frames, seed=11)
    three.open(0, seed=11)
    three.open(2, seed=12, prompt="you are glad", greeting=False)
    heard = []
    for index, frame in enumerate(frames):
        if index in (12, 14):
            three.processor.command(2, say(index, "yes of course", deadline=1))
        if index == 25:
            three.processor.command(2, Interrupt(frames=3))
        if index == 30:
            state = three.processor.export(2)
            three.close(2)
            three.processor.restore(1, SlotOptions(seed=12), state)
        heard.append(three.step({0: frame, (2 if index < 30 else 1): others[index]})[0])
        assert three.output.injected is None or not three.output.injected[0]
    three.close(0, 1)
    assert join_rows(heard) == alone


@pytest.mark.parametrize("text", ["", "  ", "a" * 60_000, "yes " * 1_001, "\ud83d"])
def test_what_cannot_be_spoken_is_refused_and_nothing_else_happens(three: Any, voice: Voice, text: str) -> None:
    with Talk(three, seed=2) as talk:
        with pytest.raises(ConversationError, match="text"):
            talk.processor.command(1, say(text=text))
        talk.go(voice(7, 6))
        assert talk.notices == []
    assert three.talk(1, voice(7, 6), seed=2) is not None


def test_a_command_needs_a_conversation(three: Any) -> None:
    with pytest.raises(ValueError, match="slot 2 holds no conversation"):
        three.processor.command(2, Interrupt())
