"""``coda conversations``: reads and removes what a state store holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from coda_core.cli.options import json_option, set_option, verbose_option
from coda_core.cli.terminal import Terminal, printable
from coda_core.errors import CodaError

__all__ = ["command"]

F = TypeVar("F", bound=Callable[..., Any])
FORMATS = ("text", "json", "vtt", "srt", "html", "wav", "flac")


@click.group("conversations")
@verbose_option
def command() -> None:
    """Read, export and remove stored conversations.

    They are looked for in the state store of --stack, of stack.toml in this folder, or else where a stack without
    a state_store table keeps them. An ID may be shortened while it is clear which one is meant.
    """


def _store_options(command: F) -> F:
    """``--stack`` and ``--database``: where the conversations lie."""
    for option in (
        set_option,
        click.option("--database", type=click.Path(path_type=Path), metavar="FILE", help="A database of `sqlite`."),
        click.option("--stack", type=click.Path(path_type=Path), metavar="FILE", help="The stack that stores them."),
    ):
        command = option(command)
    return command


_id = click.argument("id", metavar="ID")


@command.command("list")
@_store_options
@click.option("--user", metavar="ID", help="Only conversations of this user.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many, the latest first.")
@json_option
@verbose_option
@click.pass_obj
def list_(
    terminal: Terminal,
    stack: Path | None,
    database: Path | None,
    overrides: tuple[str, ...],
    user: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List conversations, the latest first."""
    from coda_core.cli.conversations.describing import row_object, utc
    from coda_core.cli.conversations.reading import opened_store

    with opened_store(stack, database, overrides) as (store, label):
        rows = store.find(user_id=user, limit=limit)
    if as_json:
        terminal.json({"conversations": [row_object(row) for row in rows]})
    elif not rows:
        terminal.line(f'no conversations in the state store "{label}"')
    else:
        cells = [
            (row.conversation, utc(row.opened_s) or "", _lasted(row), printable(row.user_id or ""), str(row.events))
            for row in rows
        ]
        terminal.table(("conversation", "opened", "lasted", "user", "events"), cells)


@command.command("show")
@_id
@_store_options
@click.option("--events", is_flag=True, help="With --json: every event, too.")
@json_option
@verbose_option
@click.pass_obj
def show(
    terminal: Terminal,
    id: str,
    stack: Path | None,
    database: Path | None,
    overrides: tuple[str, ...],
    events: bool,
    as_json: bool,
) -> None:
    """Show one conversation: when, with what, how it ended and what was said."""
    from coda_core.cli.conversations.captions import as_text
    from coda_core.cli.conversations.describing import quality_rows, quality_words, story_object
    from coda_core.cli.conversations.reading import opened_store, read_story
    from coda_core.recording import read_recording

    with opened_store(stack, database, overrides) as (store, _):
        story = read_story(store, id)
        recording = read_recording(store, story.row.conversation) if as_json else None
    facts = story_object(story, recording, events=events)
    if as_json:
        terminal.json(facts)
        return
    shown = ("conversation", "status", "opened", "closed", "duration_s", "user_id", "stack", "processor", "events")
    rows = [(name.removesuffix("_s"), printable(str(facts[name]))) for name in shown if facts[name] not in (None, "")]
    if story.snapshot is not None:
        rows += [("quality", quality_words(story.snapshot.quality)), *quality_rows(story.snapshot.quality)]
        metrics = story.snapshot.metrics
        rows += [
            (name, str(getattr(metrics, name)))
            for name in ("exchanges", "interruptions", "yielded", "dropped_frames", "late_frames")
        ]
    rows += [(name, str(value)) for name, value in facts["options"].items() if value is not None]
    rows += [(printable(name), printable(value)) for name, value in facts["metadata"].items()]
    terminal.table(("what", "value"), rows)
    terminal.line()
    for line in as_text(story.texts).splitlines() or ["no words"]:
        terminal.line(printable(line))


@command.command("export")
@_id
@_store_options
@click.option("--format", "format_", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option(
    "--output", type=click.Path(path_type=Path), metavar="FILE", help="A file to write; without it, standard output."
)
@json_option
@verbose_option
@click.pass_obj
def export(
    terminal: Terminal,
    id: str,
    stack: Path | None,
    database: Path | None,
    overrides: tuple[str, ...],
    format_: str,
    output: Path | None,
    as_json: bool,
) -> None:
    """Write what was said as text or subtitles (WebVTT, SRT), or all that is known as JSON or as a page (HTML).

    Of a recorded conversation the page has both voices, and WAV and FLAC are these: the caller on the left, Moshi on
    the right.
    """
    from coda_core.cli.conversations.exporting import exported
    from coda_core.cli.conversations.reading import opened_store
    from coda_core.cli.whole_file import write_whole

    if format_ in ("wav", "flac") and output is None:
        raise CodaError(f"{format_} is no text to print; name a file with --output")
    with opened_store(stack, database, overrides) as (store, _):
        conversation, made = exported(store, id, format_)
    facts = {"conversation": conversation, "format": format_}
    if output is not None:
        write_whole(output, made)
        if as_json:
            terminal.json({**facts, "output": str(output.absolute()), "bytes": output.stat().st_size})
    elif as_json:
        terminal.json({**facts, "content": made})
    elif isinstance(made, str):
        terminal.line(made.rstrip("\n"))


@command.command("delete")
@_id
@_store_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@verbose_option
@click.pass_obj
def delete(
    terminal: Terminal,
    id: str,
    stack: Path | None,
    database: Path | None,
    overrides: tuple[str, ...],
    yes: bool,
    as_json: bool,
) -> None:
    """Remove one conversation for good: its events, words, states and recordings."""
    from coda_core.cli.conversations.describing import utc
    from coda_core.cli.conversations.reading import find_row, opened_store

    with opened_store(stack, database, overrides) as (store, _):
        row = find_row(store, id)
        if not yes and not click.confirm(f"Remove {row.conversation} of {utc(row.opened_s)} for good?", err=True):
            raise CodaError("nothing was removed")
        store.delete(row.conversation)
    if as_json:
        terminal.json({"removed": [row.conversation]})
    else:
        terminal.line(f"removed {row.conversation}")


@command.command("search")
@click.argument("text", metavar="TEXT")
@_store_options
@click.option("--user", metavar="ID", help="Only conversations of this user.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many, the latest first.")
@json_option
@verbose_option
@click.pass_obj
def search(
    terminal: Terminal,
    text: str,
    stack: Path | None,
    database: Path | None,
    overrides: tuple[str, ...],
    user: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Find what was said: all words of TEXT, whatever their case and accents.

    Words between double quotes stand side by side, and a word that ends in * stands for all that begin so.
    """
    from coda_core.cli.conversations.describing import passage_object, utc
    from coda_core.cli.conversations.reading import opened_store

    with opened_store(stack, database, overrides) as (store, _):
        found = store.search(text, user_id=user, limit=limit)
    if as_json:
        terminal.json({"passages": [passage_object(passage) for passage in found]})
    elif not found:
        terminal.line("nobody said that")
    else:
        cells = [
            (
                passage.conversation,
                utc(passage.time_s) or "",
                f"{passage.start_s:.2f} s",
                passage.speaker,
                printable(passage.text),
            )
            for passage in found
        ]
        terminal.table(("conversation", "said", "at", "by", "words"), cells)


@command.command("stats")
@_store_options
@json_option
@verbose_option
@click.pass_obj
def stats(
    terminal: Terminal, stack: Path | None, database: Path | None, overrides: tuple[str, ...], as_json: bool
) -> None:
    """Sum up all conversations: how many, how long, how good."""
    from coda_core.cli.conversations.reading import opened_store
    from coda_core.cli.conversations.summing import sum_up

    with opened_store(stack, database, overrides) as (store, _):
        facts = sum_up(store)
    if as_json:
        terminal.json(facts)
        return
    rows = [(name.replace("_", " "), str(value)) for name, value in facts.items() if not isinstance(value, dict)]
    rows += [(f"quality {level}", str(count)) for level, count in facts["quality"].items()]
    terminal.table(("what", "how much"), rows)


@command.command("purge")
@click.option(
    "--older-than", type=click.FloatRange(min=0), required=True, metavar="DAYS", help="Age of the latest event."
)
@_store_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@verbose_option
@click.pass_obj
def purge(
    terminal: Terminal,
    older_than: float,
    stack: Path | None,
    database: Path | None,
    overrides: tuple[str, ...],
    yes: bool,
    as_json: bool,
) -> None:
    """Remove for good every conversation in which nothing has happened for so many days."""
    import time

    from coda_core.cli.conversations.reading import opened_store

    question = f"Remove every conversation without an event in the last {older_than:g} days for good?"
    with opened_store(stack, database, overrides) as (store, _):
        if not yes and not click.confirm(question, err=True):
            raise CodaError("nothing was removed")
        before_s = time.time() - 86_400 * older_than
        removed = []
        while (id := store.purge(before_s)) is not None:
            removed.append(id)
    if as_json:
        terminal.json({"removed": removed})
    else:
        terminal.line(f"removed {len(removed)} conversation{'' if len(removed) == 1 else 's'}")


@command.command("replay")
@_id
@_store_options
@click.option(
    "--with",
    "other",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Another stack, whose processor answers this time.",
)
@json_option
@verbose_option
@click.pass_obj
def replay(
    terminal: Terminal,
    id: str,
    stack: Path | None,
    database: Path | None,
    overrides: tuple[str, ...],
    other: Path | None,
    as_json: bool,
) -> None:
    """Run a recorded conversation again, offline, and say whether Moshi's tokens are the same.

    What it heard, its settings, seed and batch size, and what was asked of Moshi at which frame are those that were
    recorded. With another checkpoint or other settings, by --with or --set, both transcripts are shown side by side.

    The exit code is 1 where nothing was changed and the tokens still differ.
    """
    from coda_core.cli.conversations.comparing import compare
    from coda_core.cli.conversations.outcome import Outcome
    from coda_core.cli.conversations.reading import opened_store, read_story
    from coda_core.cli.conversations.replaying import Replay
    from coda_core.cli.conversations.script import script_of
    from coda_core.cli.progress import progress_on
    from coda_core.recording import read_recording

    of_store = tuple(each for each in overrides if each.startswith("state_store."))
    of_stack = tuple(each for each in overrides if each not in of_store)
    with opened_store(stack, database, of_store) as (store, _):
        story = read_story(store, id)
        recording = read_recording(store, story.row.conversation)
    opened = story.opened
    if recording is None or opened is None:
        raise CodaError(
            f"conversation {story.row.conversation} was not recorded, so there is nothing to run again; "
            "record_audio = true below [state_manager] records the next ones"
        )
    script = script_of(story.events, recording)
    if not script.stretches:
        raise CodaError(f"the recording of conversation {story.row.conversation} lacks its beginning")
    with progress_on(terminal) as progress:
        again = Replay(opened, script, recording, stack=other, overrides=of_stack, progress=progress).run()
    same_model = again.info.fingerprint == opened.fingerprint
    likeness = compare(recording, again.recording, again.info.vocabulary if same_model else None)
    outcome = Outcome(story=story, opened=opened, script=script, again=again, likeness=likeness)
    if as_json:
        terminal.json(outcome.as_object())
    else:
        outcome.show(terminal)
    if not outcome.changed and not likeness.same:
        raise click.exceptions.Exit(1)


def _lasted(row: Any) -> str:
    if row.closed_s is None:
        return "(open)"
    minutes, seconds = divmod(max(0, round(row.closed_s - row.opened_s)), 60)
    return f"{minutes}:{seconds:02d}"
