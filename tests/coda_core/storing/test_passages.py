"""Words gathered into passages."""

from __future__ import annotations

from coda_core.storing.passages import LENGTH, PAUSE_S, Draft, gather
from coda_core.text import ExtractedText


def text(word: str, start_s: float, *, extractor: str = "words", speaker: str = "moshi") -> ExtractedText:
    return ExtractedText(
        text=word,
        start_s=start_s,
        end_s=start_s + 0.2,
        confidence=0.5,
        extractor=extractor,
        speaker="caller" if speaker == "caller" else "moshi",
        time_s=100 + start_s,
    )


def shown(drafts: list[Draft]) -> list[tuple[str, bool]]:
    return [(draft.text, draft.complete) for draft in drafts]


def test_words_without_a_pause_are_one_passage() -> None:
    (draft,) = gather((), [text("one", 1.0), text("two", 1.5)], over=False)
    assert (draft.text, draft.start_s, draft.end_s, draft.time_s) == ("one two", 1.0, 1.7, 101.0)
    assert not draft.complete


def test_a_pause_ends_it() -> None:
    told = [text("one", 1.0), text("two", 1.2 + PAUSE_S), text("three", 1.5 + 2 * PAUSE_S)]
    assert shown(gather((), told, over=False)) == [("one two", True), ("three", False)]


def test_a_long_one_ends() -> None:
    drafts = gather((), [text(f"w{at}", at * 0.2) for at in range(LENGTH + 1)], over=False)
    assert [(len(draft.words), draft.complete) for draft in drafts] == [(LENGTH, True), (1, False)]


def test_extractors_and_speakers_are_kept_apart() -> None:
    told = [text("a", 0), text("b", 0.1, extractor="phrases"), text("c", 0.2, speaker="caller"), text("d", 0.3)]
    assert shown(gather((), told, over=False)) == [("a d", False), ("b", False), ("c", False)]


def test_a_stored_one_goes_on_growing() -> None:
    growing = gather((), [text("one", 1.0)], over=False)
    assert gather(growing, [], over=False) == []
    assert gather(growing, [text("two", 1.5)], over=False) == growing
    assert growing[0].text == "one two"


def test_at_the_end_all_are_complete() -> None:
    growing = gather((), [text("one", 1.0), text("b", 0.1, extractor="phrases")], over=False)
    assert gather(growing, [], over=True) == growing
    assert all(draft.complete for draft in growing)
    assert shown(gather((), [text("one", 1.0)], over=True)) == [("one", True)]
