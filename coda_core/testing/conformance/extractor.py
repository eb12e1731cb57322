"""The suite of monologue extractors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from coda_core.audio import FRAME_SAMPLES
from coda_core.events import event_from_json, event_to_json
from coda_core.interfaces import ProcessorInfo, StepRecord, StepRecords
from coda_core.testing.conformance.component import Conformance
from coda_core.text import ExtractedText, Vocabulary

__all__ = ["MonologueExtractorConformance"]

_WORDS = (b"good", b"morning", b"ing", b"you", b"!")
_PADDING, _BEGIN = len(_WORDS), len(_WORDS) + 1
_VOCABULARY = Vocabulary(
    pieces=(*_WORDS, b"", b""), word_starts=frozenset({0, 1, 3}), padding=_PADDING, end_of_padding=_BEGIN
)
INFO = ProcessorInfo(slots=4, delay_frames=1, vocabulary=_VOCABULARY, fingerprint="conformance")
SCRIPT = (_PADDING, _BEGIN, 0, 2, _PADDING, _PADDING, _BEGIN, 1, 4, _BEGIN, 3, *[_PADDING] * 40)
"""Tokens of a conversation: a word of two pieces, one with a mark, one more, and a pause."""


class MonologueExtractorConformance(Conformance):
    """What every `coda_core.interfaces.MonologueExtractor` does."""

    def test_finds_events_of_the_right_conversation(self, tmp_path: Path) -> None:
        found = self._follow(tmp_path, {"a": SCRIPT})["a"]
        for text in found:
            assert isinstance(text, ExtractedText)
            assert text.conversation == "a"
            assert 0 <= text.start_s <= text.end_s <= len(SCRIPT) * INFO.frame_s + 1e-9
            assert 0 <= text.confidence <= 1
            assert event_from_json(event_to_json(text)) == text, "an event has a form in JSON"

    def test_conversations_are_kept_apart(self, tmp_path: Path) -> None:
        """Side by side, one ahead of the other, each gives what it gives alone."""
        scripts = {"a": SCRIPT, "b": SCRIPT[6:] + SCRIPT}
        together = self._follow(tmp_path, scripts)
        for name, script in scripts.items():
            assert together[name] == self._follow(tmp_path, {name: script})[name]

    def test_text_is_what_was_found_last(self, tmp_path: Path) -> None:
        async def ask() -> None:
            async with self.entered(tmp_path) as extractor:
                extractor.open("a", INFO)
                for frame, token in enumerate(SCRIPT):
                    extractor.feed(StepRecords.of([record("a", frame, token)]))
                everything = list(extractor.text("a", 3600.0))
                assert all(isinstance(text, ExtractedText) for text in everything)
                assert list(extractor.text("a", 0.0)) == []
                latest = list(extractor.text("a", 2.0))
                assert [text for text in everything if text in latest] == latest
                extractor.close("a")

        self.run(ask())

    def test_a_closed_conversation_is_forgotten(self, tmp_path: Path) -> None:
        """The same id, opened again, begins from nothing."""

        async def twice() -> None:
            async with self.entered(tmp_path) as extractor:
                first, second = ([*_talk(extractor, "a", SCRIPT)] for _ in range(2))
                assert first == second

        self.run(twice())

    def test_goes_on_from_what_it_exported(self, tmp_path: Path) -> None:
        async def interrupted(after: int) -> list[Any]:
            async with self.entered(tmp_path) as extractor:
                extractor.open("a", INFO)
                found = []
                for frame, token in enumerate(SCRIPT[:after]):
                    found += extractor.feed(StepRecords.of([record("a", frame, token)]))
                state = extractor.export("a")
                assert isinstance(state, bytes)
                extractor.close("a")
            async with self.entered(tmp_path) as extractor:
                extractor.open("a", INFO, state)
                for frame, token in enumerate(SCRIPT[after:], start=after):
                    found += extractor.feed(StepRecords.of([record("a", frame, token)]))
                return [*found, *extractor.close("a")]

        whole = self._follow(tmp_path, {"a": SCRIPT})["a"]
        for after in range(1, 14):
            assert self.run(interrupted(after)) == whole, f"parked after {after} frames"

    def test_missed_records_are_survived(self, tmp_path: Path) -> None:
        """A follower that was too slow gets a record that says how many it missed."""

        async def skip() -> None:
            async with self.entered(tmp_path) as extractor:
                extractor.open("a", INFO)
                for frame in (0, 1, 2, 30, 31, 32):
                    missed = 27 if frame == 30 else 0
                    extractor.feed(StepRecords.of([record("a", frame, SCRIPT[frame % len(SCRIPT)], missed=missed)]))
                extractor.close("a")

        self.run(skip())

    def test_records_are_left_as_they_are(self, tmp_path: Path) -> None:
        async def look() -> None:
            async with self.entered(tmp_path) as extractor:
                extractor.open("a", INFO)
                for frame, token in enumerate(SCRIPT):
                    given = record("a", frame, token)
                    given.heard.flags.writeable = False
                    extractor.feed(StepRecords.of([given]))
                extractor.close("a")

        self.run(look())

    def _follow(self, folder: Path, scripts: Mapping[str, Sequence[int]]) -> dict[str, list[Any]]:
        async def follow() -> dict[str, list[Any]]:
            found: dict[str, list[Any]] = {name: [] for name in scripts}
            async with self.entered(folder) as extractor:
                for name in scripts:
                    extractor.open(name, INFO)
                for frame in range(max(map(len, scripts.values()))):
                    step = [record(name, frame, each[frame]) for name, each in scripts.items() if frame < len(each)]
                    for event in extractor.feed(StepRecords.of(step)):
                        found[event.conversation].append(event)
                for name in scripts:
                    found[name] += extractor.close(name)
            return found

        return self.run(follow())


def record(conversation: str, frame: int, token: int, *, missed: int = 0) -> StepRecord:
    """Return one step of a conversation, with audio that goes with its token."""
    level = 0.0 if token == _PADDING else 0.1
    samples = np.full(FRAME_SAMPLES, level, np.float32)
    return StepRecord(
        conversation=conversation,
        frame=frame,
        missed_before=missed,
        heard=np.zeros(FRAME_SAMPLES, np.float32),
        spoken=samples,
        heard_dbfs=-120.0,
        spoken_dbfs=-20.0 if level else -120.0,
        caller_speaking=False,
        moshi_speaking=bool(level),
        token=token,
        probability=0.5,
        lateness_s=-0.05,
    )


def _talk(extractor: Any, conversation: str, script: Sequence[int]) -> list[Any]:
    extractor.open(conversation, INFO)
    found = []
    for frame, token in enumerate(script):
        found += extractor.feed(StepRecords.of([record(conversation, frame, token)]))
    return [*found, *extractor.close(conversation)]
