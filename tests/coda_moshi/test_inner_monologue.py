from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coda_core.errors import ConversationClosed, StoreError
from coda_core.fields import fields_of
from coda_core.interfaces import Context, MonologueExtractor, ProcessorInfo, StepRecord, StepRecords
from coda_core.testing import ManualClock
from coda_core.text import ExtractedText, Vocabulary
from coda_moshi.config import InnerMonologueConfig
from coda_moshi.inner_monologue import InnerMonologue, open_inner_monologue

_EPAD, _PAD, _I, _AM, _FINE, _STOP, _OH, _E2, _99 = 0, 3, 4, 5, 6, 7, 8, 9, 10
_VOCABULARY = Vocabulary(
    pieces=(b"", b"", b"", b"", b"I", b"am", b"fine", b".", b"oh", b"\xe2", b"\x99"),
    word_starts=frozenset({_I, _AM, _FINE, _OH}),
    padding=_PAD,
    end_of_padding=_EPAD,
    silent=frozenset({1, 2}),
)
_INFO = ProcessorInfo(slots=2, delay_frames=1, vocabulary=_VOCABULARY, fingerprint="test")
_FRAME = np.zeros(1920, np.float32)


def _record(
    frame: int,
    token: int,
    *,
    conversation: str = "c",
    probability: float = 0.5,
    missed_before: int = 0,
    injected: bool = False,
) -> StepRecord:
    return StepRecord(
        conversation=conversation,
        frame=frame,
        missed_before=missed_before,
        heard=_FRAME,
        spoken=_FRAME,
        heard_dbfs=-120.0,
        spoken_dbfs=-120.0,
        caller_speaking=False,
        moshi_speaking=False,
        token=token,
        probability=probability,
        lateness_s=0.0,
        injected=injected,
    )


def _extractor(**settings: Any) -> InnerMonologue:
    extractor = InnerMonologue(InnerMonologueConfig(**settings), logging.getLogger("coda.test"))
    extractor.open("c", _INFO)
    return extractor


def _feed(extractor: InnerMonologue, tokens: Sequence[int], first: int = 0) -> list[ExtractedText]:
    found: list[ExtractedText] = []
    for frame, token in enumerate(tokens, first):
        found += extractor.feed(StepRecords.of([_record(frame, token)]))
    return found


def _texts(items: Sequence[ExtractedText]) -> list[str]:
    return [item.text for item in items]


_SPEECH = [_PAD, _EPAD, _I, _AM, _PAD, _FINE, _STOP, *[_PAD] * 20, _EPAD, _OH, _PAD, _PAD, _PAD, _PAD]


def test_a_word_says_when_how_sure_and_by_whom() -> None:
    extractor = _extractor()
    assert extractor.feed(StepRecords.of([_record(10, _FINE, probability=0.9)])) == []
    assert extractor.feed(StepRecords.of([_record(11, _STOP, probability=0.4)])) == []
    (fine,) = extractor.feed(StepRecords.of([_record(12, _OH)]))
    assert fine == ExtractedText(
        conversation="c",
        frame=10,
        text="fine.",
        start_s=10 * 0.08,
        end_s=12 * 0.08,
        confidence=fine.confidence,
        speaker="moshi",
        unit="word",
        tokens=(_FINE, _STOP),
    )
    assert fine.confidence == pytest.approx(0.6)


def test_continuous_delivers_each_word_as_it_completes() -> None:
    extractor = _extractor()
    delivered = [
        (frame, _texts(extractor.feed(StepRecords.of([_record(frame, token)])))) for frame, token in enumerate(_SPEECH)
    ]
    assert [each for each in delivered if each[1]] == [(3, ["I"]), (5, ["am"]), (9, ["fine."]), (31, ["oh"])]
    assert extractor.close("c") == []


def test_buffered_delivers_phrases_at_punctuation_and_pauses() -> None:
    extractor = _extractor(mode="buffered", pause_seconds=0.8)
    found = _feed(extractor, [*_SPEECH, *[_PAD] * 20, _I, _AM])
    assert _texts(found) == ["I am fine.", "oh"]
    assert [item.unit for item in found] == ["phrase", "phrase"]
    assert found[0].tokens == (_I, _AM, _FINE, _STOP)
    assert found[0].start_s == pytest.approx(2 * 0.08)
    assert found[0].end_s == pytest.approx(7 * 0.08)
    assert found[0].frame == 2
    assert _texts(extractor.text("c", 100.0)) == ["I am fine.", "oh", "I am"]
    assert _texts(extractor.close("c")) == ["I am"]


def test_a_phrase_without_end_is_cut() -> None:
    found = _feed(_extractor(mode="buffered", phrase_words=3), [_I, _AM, _OH] * 4)
    assert _texts(found) == ["I am oh"] * 3


def test_on_demand_pushes_nothing_and_answers() -> None:
    extractor = _extractor(mode="on-demand")
    assert _feed(extractor, _SPEECH) == []
    assert _texts(extractor.text("c", 100.0)) == ["I", "am", "fine.", "oh"]
    assert _texts(extractor.text("c", 0.5)) == ["oh"]
    assert _texts(extractor.text("c", 0.0)) == []
    assert extractor.close("c") == ()


@pytest.mark.parametrize("mode", ["continuous", "buffered", "on-demand"])
def test_text_answers_in_every_mode_with_the_latest_word_too(mode: str) -> None:
    extractor = _extractor(mode=mode)
    _feed(extractor, [_I, _AM, _FINE])
    assert " ".join(_texts(extractor.text("c", 1.0))) == "I am fine"
    _feed(extractor, [_STOP], 3)
    assert " ".join(_texts(extractor.text("c", 1.0))) == "I am fine."


def test_text_of_a_conversation_that_is_not_open_is_refused() -> None:
    extractor = _extractor()
    extractor.close("c")
    with pytest.raises(ConversationClosed, match="conversation c is not open"):
        extractor.text("c", 1.0)


def test_a_gap_ends_a_word_and_a_phrase() -> None:
    words = _extractor()
    words.feed(StepRecords.of([_record(0, _FINE)]))
    assert _texts(words.feed(StepRecords.of([_record(2, _STOP, missed_before=1)]))) == ["fine"]
    assert _texts(words.close("c")) == ["."]
    phrases = _extractor(mode="buffered")
    _feed(phrases, [_I, _AM])
    assert _texts(phrases.feed(StepRecords.of([_record(5, _FINE, missed_before=3)]))) == ["I am"]
    assert _texts(phrases.close("c")) == ["fine"]


def test_what_is_below_the_threshold_is_withheld_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    extractor = _extractor(confidence_threshold=0.7)
    found = [
        item
        for frame, (token, probability) in enumerate([(_I, 0.9), (_AM, 0.2), (_FINE, 0.8), (_OH, 0.3), (_I, 0.71)])
        for item in extractor.feed(StepRecords.of([_record(frame, token, probability=probability)]))
    ]
    assert _texts(found) == ["I", "fine"]
    assert _texts(extractor.text("c", 10.0)) == ["I", "fine", "I"]
    with caplog.at_level(logging.INFO):
        assert _texts(extractor.close("c")) == ["I"]
    assert "2 texts had a confidence below 0.7" in caplog.text


def test_text_is_kept_for_a_time_and_up_to_a_count() -> None:
    by_time = _extractor(retention_seconds=1.0)
    _feed(by_time, [_I, _PAD] * 100)
    kept = by_time.text("c", 1000.0)
    assert [item.frame for item in kept] == [188, 190, 192, 194, 196, 198]
    by_count = _extractor(retention_words=5, mode="on-demand")
    _feed(by_count, [*[_I] * 100, _PAD, _PAD, _PAD])
    assert [item.frame for item in by_count.text("c", 1000.0)] == [95, 96, 97, 98, 99]
    assert len(_extractor(retention_words=0).text("c", 1.0)) == 0


_tokens = st.lists(
    st.tuples(st.one_of(st.just(_PAD), st.integers(-2, 11)), st.floats(0.0, 1.0), st.integers(0, 9)), max_size=50
)
_modes = st.sampled_from(["continuous", "buffered"])


def _run(records: Sequence[Sequence[StepRecord]], conversations: Sequence[str], mode: str) -> list[ExtractedText]:
    config = InnerMonologueConfig(mode=mode, pause_seconds=0.4, phrase_words=6)  # type: ignore[arg-type]
    extractor = InnerMonologue(config, logging.getLogger("coda.test"))
    for conversation in conversations:
        extractor.open(conversation, _INFO)
    found = [item for step in records for item in extractor.feed(StepRecords.of(step))]
    for conversation in conversations:
        found += extractor.close(conversation)
    return found


def _records(tokens: Sequence[tuple[int, float, int]], conversation: str) -> list[StepRecord]:
    return [
        _record(frame, token, conversation=conversation, probability=probability, missed_before=int(luck == 0))
        for frame, (token, probability, luck) in enumerate(tokens)
    ]


@given(tokens=_tokens, mode=_modes, data=st.data())
def test_how_records_are_grouped_changes_nothing(
    tokens: list[tuple[int, float, int]], mode: str, data: st.DataObject
) -> None:
    records = _records(tokens, "c")
    cuts = sorted(data.draw(st.sets(st.integers(0, len(records)), max_size=10)))
    grouped = [records[a:b] for a, b in zip([0, *cuts], [*cuts, len(records)], strict=True)]
    assert _run(grouped, ["c"], mode) == _run([[record] for record in records], ["c"], mode)


@given(first=_tokens, second=_tokens, mode=_modes)
def test_two_conversations_at_once_are_each_as_if_alone(
    first: list[tuple[int, float, int]], second: list[tuple[int, float, int]], mode: str
) -> None:
    a, b = _records(first, "a"), _records(second, "b")
    steps = [[*a[step : step + 1], *b[step : step + 1]] for step in range(max(len(a), len(b)))]
    together = _run(steps, ["a", "b"], mode)
    assert [item for item in together if item.conversation == "a"] == _run([[record] for record in a], ["a"], mode)
    assert [item for item in together if item.conversation == "b"] == _run([[record] for record in b], ["b"], mode)


@given(tokens=_tokens, mode=_modes)
def test_times_rise_and_lie_inside_the_conversation(tokens: list[tuple[int, float, int]], mode: str) -> None:
    items = _run([[record] for record in _records(tokens, "c")], ["c"], mode)
    for item in items:
        assert item.text
        assert item.frame is not None
        assert item.start_s == item.frame * 0.08
        assert 0.0 <= item.start_s < item.end_s <= len(tokens) * 0.08 + 1e-9
        assert 0.0 <= item.confidence <= 1.0
    assert all(one.end_s <= other.start_s + 1e-9 for one, other in pairwise(items))


@given(tokens=_tokens)
def test_phrases_hold_exactly_the_words(tokens: list[tuple[int, float, int]]) -> None:
    records = [[record] for record in _records(tokens, "c")]
    words, phrases = _run(records, ["c"], "continuous"), _run(records, ["c"], "buffered")
    assert [token for item in phrases for token in item.tokens] == [token for item in words for token in item.tokens]


def test_injected_text_is_marked_and_never_withheld() -> None:
    extractor = _extractor(confidence_threshold=0.9)
    spoken = ((_I, False), (_AM, True), (_FINE, True), (_STOP, False), (_OH, False))
    found: list[ExtractedText] = []
    for frame, (token, injected) in enumerate(spoken):
        found += extractor.feed(StepRecords.of([_record(frame, token, probability=0.01, injected=injected)]))
    found += extractor.close("c")
    assert [(item.text, item.injected) for item in found] == [("am", True), ("fine.", True)]


def test_no_phrase_joins_injected_text_with_its_own() -> None:
    extractor = _extractor(mode="buffered")
    for frame, (token, injected) in enumerate(((_I, False), (_AM, True), (_FINE, True))):
        found = extractor.feed(StepRecords.of([_record(frame, token, injected=injected)]))
    assert [(item.text, item.injected) for item in found] == [("I", False)]
    assert [(item.text, item.injected) for item in extractor.text("c", 9.0)] == [("I", False), ("am fine", True)]
    found = extractor.feed(StepRecords.of([_record(3, _OH), _record(4, _I)]))
    assert [(item.text, item.injected) for item in found] == [("am fine", True)]


_choices = st.tuples(st.sampled_from(range(11)), st.floats(0, 1), st.booleans())


@given(
    choices=st.lists(_choices, max_size=40),
    parked_at=st.integers(0, 40),
    mode=st.sampled_from(["continuous", "buffered", "on-demand"]),
)
def test_a_parked_conversation_gets_the_text_of_an_uninterrupted_one(
    choices: list[tuple[int, float, bool]], parked_at: int, mode: str
) -> None:
    whole, before, after = (_extractor(mode=mode, confidence_threshold=0.2) for _ in range(3))
    expected: list[Sequence[ExtractedText]] = []
    found: list[Sequence[ExtractedText]] = []
    parked = before
    for frame, (token, probability, injected) in enumerate(choices):
        if frame == parked_at:
            after.open("c", _INFO, before.export("c"))
            parked = after
        record = _record(frame, token, probability=probability, injected=injected)
        expected.append(whole.feed(StepRecords.of([record])))
        found.append(parked.feed(StepRecords.of([record])))
        assert parked.text("c", 2.0) == whole.text("c", 2.0)
    assert parked.export("c") == whole.export("c")
    assert [*found, parked.close("c")] == [*expected, whole.close("c")]


@pytest.mark.parametrize("state", [b"", b"{}", b"[]", b"\xff", b'{"now_s": 1, "withheld": 0, "words": {}}'])
def test_a_damaged_state_is_refused(state: bytes) -> None:
    extractor = InnerMonologue(InnerMonologueConfig(), logging.getLogger("coda.test"))
    with pytest.raises(StoreError, match="the parked text of conversation c is damaged"):
        extractor.open("c", _INFO, state)


def test_the_factory_makes_an_extractor(tmp_path: Path) -> None:
    context = Context(
        base_dir=tmp_path,
        cache_dir=tmp_path,
        clock=ManualClock(),
        logger=logging.getLogger("coda.test"),
        progress=lambda what, done, total: None,
    )

    async def make() -> MonologueExtractor:
        async with open_inner_monologue(InnerMonologueConfig(), context) as extractor:
            return extractor

    extractor = asyncio.run(make())
    extractor.open("c", _INFO)
    assert extractor.text("c", 1.0) == []
    assert all(field.known.help for field in fields_of(InnerMonologueConfig))
