"""``coda demo`` as it comes: three questions, three answers, and a sentence that was asked for.

One run, of which every test looks at another side.
"""

from __future__ import annotations

import json
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from numpy.typing import NDArray

from coda_core.cli import coda
from tests.demo_script import REPLIES
from tests.meaning.hearing import FRAME, Recogniser, loud_frames, loud_stretches

SAID = "good morning my friend"
FRAME_S = 0.08


@attrs.frozen(eq=False)
class Demo:
    """What a run left."""

    told: str
    transcript: dict[str, Any]
    reply: NDArray[np.float32]
    both: NDArray[np.float32]
    report: dict[str, Any]

    @property
    def turns(self) -> list[list[dict[str, Any]]]:
        """Moshi's words, those without a pause together."""
        turns: list[list[dict[str, Any]]] = []
        for word in self.transcript["words"]:
            if turns and word["start_s"] - turns[-1][-1]["end_s"] < 1.2:
                turns[-1].append(word)
            else:
                turns.append([word])
        return turns

    @property
    def sentences(self) -> list[str]:
        return [sentence(turn) for turn in self.turns]


def sentence(words: list[dict[str, Any]]) -> str:
    return " ".join(word["text"] for word in words).removesuffix(".")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo")
    ran = CliRunner().invoke(coda, ["demo", "--output", str(folder), "--say", f"{SAID.capitalize()}!"])
    assert ran.exit_code == 0, ran.output
    page = (folder / "report.html").read_text("utf-8")
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    return Demo(
        told=ran.stdout,
        transcript=json.loads((folder / "transcript.json").read_text("utf-8")),
        reply=soundfile.read(folder / "reply.wav", dtype="float32")[0],
        both=soundfile.read(folder / "conversation.wav", dtype="float32")[0],
        report=json.loads(data[1]),
    )


@pytest.fixture(scope="module")
def asked() -> list[str]:
    """Names of what the caller of the recording asks."""
    written = (resources.files("coda_core.cli.demo") / "recording" / "caller.toml").read_text("utf-8")
    return [question["intent"] for question in tomllib.loads(written)["questions"]]


def test_every_question_gets_its_answer(demo: Demo, asked: list[str]) -> None:
    assert len(asked) == 3
    assert demo.sentences == [*(REPLIES[name] for name in asked), SAID]


def test_answers_begin_when_the_caller_has_asked(demo: Demo) -> None:
    questions = demo.transcript["caller"]
    for question, following, turn in zip(questions, [*questions[1:], None], demo.turns, strict=False):
        assert question["end_s"] - FRAME_S < turn[0]["start_s"] < question["end_s"] + 2.5
        assert following is None or turn[-1]["end_s"] < following["start_s"]


def test_words_stand_where_they_are_heard(demo: Demo) -> None:
    """Each turn begins in the frame of its first word, and every word in it is heard where it stands."""
    heard = loud_stretches(demo.reply)
    assert len(heard) == len(demo.turns)
    loud = loud_frames(demo.reply)
    for (first, last), turn in zip(heard, demo.turns, strict=True):
        frames = [round(word["start_s"] / FRAME_S) for word in turn]
        assert abs(first - frames[0]) <= 1
        assert frames[-1] <= last <= frames[-1] + 14
        for frame in frames:
            assert loud[frame : frame + 2].any()


def test_a_recogniser_hears_the_sentences(demo: Demo) -> None:
    recogniser = Recogniser([*REPLIES.values(), SAID])
    heard = [demo.reply[first * FRAME : (last + 1) * FRAME] for first, last in loud_stretches(demo.reply)]
    assert [recogniser.sentence(pcm) for pcm in heard] == demo.sentences


def test_what_was_asked_for_is_marked_and_comes_last(demo: Demo) -> None:
    words = demo.transcript["words"]
    assert [word["injected"] for word in words] == [False] * (len(words) - 4) + [True] * 4
    assert words[-4]["start_s"] > 21
    assert [mark[2] for mark in demo.report["marks"] if mark[1] == "injection"] == [
        f"asked to say: {SAID.capitalize()}!"
    ]


def test_both_sides_are_in_the_stereo_file_and_on_the_page(demo: Demo, asked: list[str]) -> None:
    assert np.array_equal(demo.both[:, 1], demo.reply)
    questions = demo.transcript["caller"]
    said = np.zeros(len(demo.both) // FRAME, np.bool_)
    for question in questions:
        said[int(question["start_s"] / FRAME_S) : int(question["end_s"] / FRAME_S) + 1] = True
    assert loud_frames(demo.both[:, 0])[~said].sum() <= len(questions)
    on_page = [(word["speaker"], word["text"]) for word in demo.report["words"]]
    assert [text for speaker, text in on_page if speaker == "caller"] == [each["text"] for each in questions]
    assert [text for speaker, text in on_page if speaker == "moshi"] == [
        each["text"] for each in demo.transcript["words"]
    ]
    assert on_page[0][0] == "caller"


def test_the_exchange_is_printed(demo: Demo, asked: list[str]) -> None:
    lines = [" ".join(line.split()) for line in demo.told.splitlines()]
    for question, name in zip(demo.transcript["caller"], asked, strict=True):
        place = next(number for number, line in enumerate(lines) if line.endswith(f"caller {question['text']}"))
        assert lines[place + 1].endswith(f"moshi {REPLIES[name]}.")


def test_a_word_that_it_never_learnt_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", np.zeros(1_920, np.float32), 24_000)
    arguments = ["demo", "--output", str(tmp_path / "out"), "--input", str(tmp_path / "short.wav"), "--say", "qwertz"]
    ran = CliRunner().invoke(coda, arguments, catch_exceptions=False)
    assert ran.exit_code == 2
    assert "never learnt to say qwertz" in ran.stderr
    assert '"qwertz" was not said to its end' in ran.stdout
