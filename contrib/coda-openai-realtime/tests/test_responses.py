"""The mapping of a voice that comes when it likes onto responses, frame by frame."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from coda_core import AudioFrame, ExtractedText, Vocabulary

from coda_openai_realtime.items import Items
from coda_openai_realtime.refusal import Refused
from coda_openai_realtime.responses import Asked, Pace, Responses
from coda_openai_realtime.session_settings import Modality, SessionSettings
from coda_openai_realtime.sound import PCM

FRAME_S = 0.08
BEGUN = [
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
]
DELTA = "response.output_audio.delta"
OVER = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
]
VOCABULARY = Vocabulary(
    pieces=(b"", b"good", b"question", b"s"), word_starts=frozenset({1, 2}), padding=0, end_of_padding=0
)


class Story:
    """Responses that are told frame by frame.

    `v` is Moshi's voice, `h` a quiet frame that still counts as voice, `.` is silence.
    """

    def __init__(self, *, most: int = 100, modality: Modality = "audio") -> None:
        self.items = Items()
        self.settings = SessionSettings(model="moshi", modality=modality)
        pace = Pace(frame_s=FRAME_S, end=3, wait=5, most=most)
        self.responses = Responses(pace, self.items, VOCABULARY, lambda: self.settings, "conv_1")
        self.now = 0
        self.events: list[dict[str, Any]] = []

    def goes(self, frames: str) -> list[str]:
        """Go on; return the types of what came of it."""
        return self._took([event for frame in frames for event in self._frame(frame)])

    def word(self, text: str, frame: int, tokens: tuple[int, ...] = ()) -> list[str]:
        start_s = frame * FRAME_S
        word = ExtractedText(
            text=text, frame=frame, start_s=start_s, end_s=start_s + FRAME_S, confidence=1.0, tokens=tokens
        )
        return self._took(self.responses.word(word))

    def ask(self) -> list[str]:
        return self._took(self.responses.ask(Asked(modality="audio", format=PCM)))

    def cancel(self, reason: str = "client_cancelled") -> list[str]:
        return self._took(self.responses.cancel(reason))

    def truncate(self, audio_s: float) -> list[str]:
        return self._took(self.responses.truncate(self.items.get(self.items.last or ""), audio_s))

    @property
    def done(self) -> list[dict[str, Any]]:
        return [event["response"] for event in self.events if event["type"] == "response.done"]

    def heard(self) -> list[int]:
        """The frames whose sound was passed on."""
        pcm = b"".join(base64.b64decode(event["delta"]) for event in self.events if event["type"] == DELTA)
        return [int(sample) for sample in np.frombuffer(pcm, "<i2")[::1_920]]

    def _frame(self, kind: str) -> Sequence[dict[str, Any]]:
        # The first sample tells which frame it is.
        pcm = np.full(1_920, 0.1 if kind == "v" else 0.0, np.float32)
        pcm[0] = self.now / 32_768
        self.now += 1
        return self.responses.frame(AudioFrame("c", self.now - 1, pcm, pcm, moshi_speaking=kind != "."))

    def _took(self, events: Sequence[dict[str, Any]]) -> list[str]:
        self.events += events
        return [event["type"] for event in events]


def test_a_response_begins_with_the_voice_and_ends_when_it_has_been_silent() -> None:
    story = Story()
    assert story.goes("....") == []
    assert story.goes("v") == [*BEGUN, DELTA, DELTA]
    assert story.goes("v..v..") == [DELTA] * 6
    assert story.goes(".") == [DELTA, *OVER]
    assert story.goes("....") == []
    # The frame before the first loud one goes with it; pauses inside are sound too.
    assert story.heard() == [3, 4, 5, 6, 7, 8, 9, 10, 11]
    (response,) = story.done
    assert (response["status"], response["output"][0]["status"]) == ("completed", "completed")


def test_words_come_behind_their_sound_and_are_spelt_as_one_text() -> None:
    story = Story()
    story.goes("..vvv")
    story.word("good", 2, (1,))
    story.word("question", 4, (2,))
    story.word("s", 5, (3,))
    story.goes("....")
    spoken = [event["delta"] for event in story.events if event["type"].endswith("transcript.delta")]
    assert spoken == ["good", " question", "s"]
    assert story.done[0]["output"][0]["content"] == [{"type": "output_audio", "transcript": "good questions"}]


def test_a_word_alone_begins_a_response_and_holds_it() -> None:
    story = Story()
    story.goes("...")
    assert story.word("good", 2) == [*BEGUN, "response.output_audio_transcript.delta"]
    assert story.goes("..") == [DELTA] * 2
    assert story.goes(".v") == [DELTA] * 2
    assert len(story.done) == 0
    assert story.goes("...")[-1] == "response.done"


def test_a_word_of_the_pause_before_belongs_to_the_next_response_and_a_late_one_to_none() -> None:
    story = Story()
    story.goes("vv...")
    assert len(story.done) == 1
    assert story.word("good", 1) == []
    story.goes("v")
    assert story.word("question", 4) == ["response.output_audio_transcript.delta"]


def test_one_that_is_asked_for_is_created_at_once_and_takes_the_voice_that_comes() -> None:
    story = Story()
    story.goes(".")
    assert story.ask() == BEGUN[:1]
    assert story.goes("..") == []
    assert story.goes("v")[:3] == BEGUN[1:]
    with pytest.raises(Refused) as refused:
        story.ask()
    assert refused.value.code == "conversation_already_has_active_response"
    story.goes("...")
    assert len(story.done) == 1


def test_one_that_is_asked_for_in_vain_is_done_without_output() -> None:
    story = Story()
    story.ask()
    assert story.goes("....") == []
    assert story.goes(".") == ["response.done"]
    assert (story.done[0]["status"], story.done[0]["output"]) == ("completed", [])


def test_a_cancelled_one_is_over_and_the_rest_of_its_voice_is_not_passed_on() -> None:
    story = Story()
    story.goes("vv")
    assert story.cancel() == OVER
    response = story.done[0]
    assert (response["status"], response["status_details"]["reason"]) == ("cancelled", "client_cancelled")
    assert response["output"][0]["status"] == "incomplete"
    assert story.goes("vvv") == []
    assert story.word("good", 4) == []
    assert story.goes(".v")[:1] == ["response.created"]
    with pytest.raises(Refused) as refused:
        story.responses.cancel("client_cancelled", "resp_of_somebody_else")
    assert refused.value.code == "response_cancel_not_active"


def test_truncating_the_one_in_progress_ends_it_and_moshi_goes_on_in_the_next() -> None:
    story = Story()
    story.goes("vvvv")
    story.word("good", 0)
    story.word("question", 3)
    types = story.truncate(2 * FRAME_S)
    assert types == [*OVER, "conversation.item.truncated"]
    assert story.events[-1]["audio_end_ms"] == 160
    assert story.items.get(story.items.last or "").text == "good"
    assert story.goes("v") == [*BEGUN, DELTA]


def test_what_the_speech_detection_holds_on_to_begins_no_response() -> None:
    story = Story()
    story.goes("vvhh")
    story.truncate(0.0)
    assert story.goes("hh..") == []
    assert story.goes("vhhhh") == [*BEGUN, *[DELTA] * 6]


def test_truncating_beyond_what_was_sent_is_refused() -> None:
    story = Story()
    story.goes("vv...")
    with pytest.raises(Refused) as refused:
        story.truncate(60.0)
    assert refused.value.param == "audio_end_ms"


def test_a_voice_that_never_ends_is_cut_into_responses() -> None:
    story = Story(most=4)
    story.goes("v" * 10)
    assert [response["status"] for response in story.done] == ["incomplete", "incomplete"]
    assert story.heard() == list(range(10))


def test_as_text_there_are_words_and_no_sound() -> None:
    story = Story(modality="text")
    story.goes("v")
    story.word("good", 0)
    assert story.goes("...")[-1] == "response.done"
    types = {event["type"] for event in story.events}
    assert {"response.output_text.delta", "response.output_text.done"} < types
    assert not any("audio" in type for type in types)
    assert story.done[0]["output"][0]["content"] == [{"type": "output_text", "text": "good"}]
