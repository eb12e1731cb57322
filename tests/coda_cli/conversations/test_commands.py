"""The commands, on a database that a real stack wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from coda_core.cli import coda
from coda_core.events import Closed, Opened
from coda_core.text import ExtractedText

Coda = Callable[..., tuple[int, str, str]]

FIRST, SECOND = "aa11" + 28 * "0", "aa22" + 28 * "0"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a stack and the database that it wrote: two conversations."""
    monkeypatch.chdir(tmp_path)
    Path("stack.toml").write_text('[state_store]\nuse = "sqlite"\npath = "talks.db"\n')
    return tmp_path


@pytest.fixture
def stored(here: Path) -> Path:
    import asyncio

    from coda_core import Kernel

    async def write() -> None:
        stack = here / "writer.toml"
        stack.write_text('[processor]\nuse = "echo"\n[state_store]\nuse = "sqlite"\npath = "talks.db"\n')
        async with Kernel.from_toml(stack, cache_dir=here / "cache") as kernel:
            store = kernel._parts.state_store
            for id, user, at in ((FIRST, "ada", 1_000.0), (SECOND, None, 2_000.0)):
                word = ExtractedText(text="hello\x1b[2J", start_s=0.16, end_s=0.4, confidence=0.75)
                events = (
                    Opened(user_id=user, stack="desk", processor="echo", options={"seed": 7}, metadata={"room": "b"}),
                    word,
                    Closed(frames=25, frame=25),
                )
                store.append(
                    [
                        _numbered(event, conversation=id, sequence=number, time_s=at + number)
                        for number, event in enumerate(events, start=1)
                    ]
                )

    asyncio.run(write())
    return here / "talks.db"


def _numbered(event: Any, **fields: Any) -> Any:
    import attrs

    return attrs.evolve(event, **fields)


@pytest.fixture
def run(stored: Path) -> Coda:
    def run(*arguments: str, answer: str = "") -> tuple[int, str, str]:
        done = CliRunner().invoke(coda, ["conversations", *arguments], input=answer, catch_exceptions=False)
        return done.exit_code, done.stdout, done.stderr

    return run


def test_list(run: Coda) -> None:
    code, out, _ = run("list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["conversation", SECOND, FIRST]
    assert "1970-01-01T00:16:41+00:00" in out


def test_list_of_one_user(run: Coda) -> None:
    found = json.loads(run("list", "--user", "ada", "--json")[1])["conversations"]
    assert [(each["conversation"], each["user_id"], each["opened"]) for each in found] == [
        (FIRST, "ada", "1970-01-01T00:16:41+00:00")
    ]


def test_database_is_named(run: Coda, stored: Path) -> None:
    assert run("list", "--database", str(stored)) == run("list", "--stack", "stack.toml") == run("list")


def test_reading_makes_no_database(run: Coda, here: Path) -> None:
    code, _, err = run("list", "--database", "none.db")
    assert code == 2
    assert "no conversation was stored there" in err
    assert not (here / "none.db").exists()


def test_show(run: Coda) -> None:
    code, out, _ = run("show", "aa1")
    assert code == 0
    facts = dict(line.split(maxsplit=1) for line in out.splitlines()[1:12] if line)
    assert (facts["status"], facts["duration"], facts["seed"], facts["room"]) == ("closed", "2.0", "7", "b")
    # What was said must not steer the terminal that it is shown on.
    assert out.splitlines()[-1] == "[00:00:00.160] moshi: hello\N{REPLACEMENT CHARACTER}[2J"


def test_show_as_json(run: Coda) -> None:
    told = json.loads(run("show", FIRST, "--json", "--events")[1])
    assert (told["status"], told["duration_s"], told["options"], told["words"][0]["start_s"]) == (
        "closed",
        2.0,
        {"seed": 7},
        0.16,
    )
    assert [event["type"] for event in told["all_events"]] == ["opened", "text", "closed"]
    assert "all_events" not in json.loads(run("show", FIRST, "--json")[1])


@pytest.mark.parametrize(("wanted", "message"), [("aa", "may be one of 2"), ("b", "there is no conversation")])
def test_id_that_means_none_or_several(run: Coda, wanted: str, message: str) -> None:
    code, out, err = run("show", wanted)
    assert (code, out) == (2, "")
    assert message in err


@pytest.mark.parametrize("format", ["text", "json", "vtt", "srt", "html"])
def test_export_to_a_file_is_what_is_printed(run: Coda, here: Path, format: str) -> None:
    code, out, _ = run("export", FIRST, "--format", format)
    assert code == 0
    assert "hello" in out
    assert run("export", FIRST, "--format", format, "--output", "said") == (0, "", "")
    assert (here / "said").read_text() == out


def test_export_and_delete_say_as_json_what_they_did(run: Coda, here: Path) -> None:
    told = json.loads(run("export", FIRST, "--format", "vtt", "--json")[1])
    assert (told["conversation"], told["content"]) == (FIRST, run("export", FIRST, "--format", "vtt")[1])
    told = json.loads(run("export", "aa1", "--output", "said", "--json")[1])
    assert told == {
        "conversation": FIRST, "format": "text", "output": str(here / "said"), "bytes": (here / "said").stat().st_size
    }  # fmt: skip
    assert json.loads(run("delete", FIRST, "--yes", "--json")[1]) == {"removed": [FIRST]}


def test_delete_asks(run: Coda) -> None:
    code, _, err = run("delete", FIRST, answer="n\n")
    assert code == 2
    assert "Remove" in err
    assert FIRST in run("list")[1]
    assert run("delete", FIRST, answer="y\n")[0] == 0
    assert FIRST not in run("list")[1]


def test_delete_without_asking(run: Coda, stored: Path) -> None:
    assert run("delete", "aa2", "--yes") == (0, f"removed {SECOND}\n", "")
    assert SECOND.encode() not in stored.read_bytes()


def test_search(run: Coda) -> None:
    code, out, _ = run("search", "HELLO*")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["conversation", SECOND, FIRST]
    found = json.loads(run("search", "hello*", "--user", "ada", "--json")[1])["passages"]
    assert [(each["conversation"], each["start_s"], each["speaker"]) for each in found] == [(FIRST, 0.16, "moshi")]
    assert run("search", "goodbye")[1] == "nobody said that\n"


def test_stats(run: Coda) -> None:
    told = json.loads(run("stats", "--json")[1])
    assert (told["conversations"], told["users"], told["events"], told["open"]) == (2, 1, 6, 0)
    # No snapshot was written of these.
    assert told["quality"] == {"excellent": 0, "good": 0, "fair": 0, "poor": 0, "unknown": 2}
    assert run("stats")[1].splitlines()[-1].split() == ["quality", "unknown", "2"]


def test_purge(run: Coda, stored: Path) -> None:
    code, _, err = run("purge", "--older-than", "1", answer="n\n")
    assert code == 2
    assert "last 1 days" in err
    assert json.loads(run("purge", "--older-than", "100000", "--yes", "--json")[1]) == {"removed": []}
    assert run("purge", "--older-than", "1", "--yes") == (0, "removed 2 conversations\n", "")
    for id in (FIRST, SECOND):
        assert id.encode() not in stored.read_bytes()
