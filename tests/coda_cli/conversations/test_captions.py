from __future__ import annotations

import io

import pytest
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from coda_core.cli.conversations.captions import as_srt, as_text, as_vtt, cues
from coda_core.text import ExtractedText, Speaker


def said(*words: str, start_s: float = 0.0, speaker: Speaker = "moshi") -> list[ExtractedText]:
    return [
        ExtractedText(
            text=word,
            start_s=start_s + 0.4 * place,
            end_s=start_s + 0.4 * place + 0.32,
            confidence=0.9,
            speaker=speaker,
        )
        for place, word in enumerate(words)
    ]


def test_words_that_follow_each_other_are_one_cue() -> None:
    (cue,) = cues(said("good", "morning", "to", "you"))
    assert (cue.text, cue.start_s) == ("good morning to you", 0.0)
    assert cue.end_s == pytest.approx(1.52)


def test_a_sentence_a_pause_and_a_speaker_end_a_cue() -> None:
    texts = said("hello.", "how") + said("are", start_s=2.0) + said("fine", start_s=2.4, speaker="caller")
    assert [cue.text for cue in cues(texts)] == ["hello.", "how", "are", "fine"]


def test_a_cue_fits_two_lines() -> None:
    for cue in cues(said(*["seventeen"] * 60)):
        assert len(cue.text) <= 84
        assert cue.end_s - cue.start_s <= 7.0


def test_nothing_said() -> None:
    assert (as_vtt([]), as_srt([]), as_text([])) == ("WEBVTT\n", "", "")


def test_long_conversations_have_hours() -> None:
    assert "01:02:03.040 --> 01:02:03.360" in as_vtt(said("late", start_s=3723.04))
    assert "01:02:03,040 --> 01:02:03,360" in as_srt(said("late", start_s=3723.04))


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=12))
def test_a_parser_of_subtitles_reads_what_was_written(words: list[str]) -> None:
    """Words of any characters: markup, arrows, empty lines."""
    texts = said(*(word.replace("\0", "").encode(errors="ignore").decode() or "x" for word in words))
    wanted = cues(texts)
    found = webvtt.from_string(as_vtt(texts)).captions
    assert [caption.start_in_seconds for caption in found] == [int(cue.start_s) for cue in wanted]
    assert len(webvtt.from_buffer(io.StringIO(as_srt(texts)), "srt").captions) == len(wanted)


def test_a_parser_of_subtitles_reads_the_words() -> None:
    texts = said("a", "<b>", "&", "-->", "c")
    (caption,) = webvtt.from_string(as_vtt(texts)).captions
    assert (caption.voice, caption.start, caption.end) == ("Moshi", "00:00:00.000", "00:00:01.920")
    assert caption.raw_text == "<v Moshi>a &lt;b&gt; &amp; --&gt; c"
    (caption,) = webvtt.from_buffer(io.StringIO(as_srt(texts)), "srt").captions
    assert caption.raw_text == "a <b> & -> c"
