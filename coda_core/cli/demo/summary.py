"""What a demo says at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from coda_core.cli.demo.exchange import exchange
from coda_core.cli.demo.files import DemoFiles
from coda_core.cli.demo.session import Talk
from coda_core.cli.demo.transcript import caller_entries, word_entries
from coda_core.cli.terminal import Terminal, printable
from coda_core.interfaces import Distribution

__all__ = ["as_json_object", "show"]

_STAGES: Final = {"encode": "encode", "model": "model", "decode": "decode", "step": "whole step"}
_WORDS_SHOWN: Final = 40
_RANDOM: Final = (
    'The checkpoint "tiny" has random weights: what you hear is noise, and the words mean nothing. '
    "For a Moshi that speaks, leave its model_path out of the stack given with --stack, or name another checkpoint."
)
_SMALL: Final = (
    'The checkpoint "demo" answers questions about itself and Coda, and says every sentence of its words: try '
    'coda demo --say "good morning my friend". To talk to it, coda serve.'
)


def show(terminal: Terminal, talk: Talk, files: DemoFiles) -> None:
    """Print the summary for a person."""
    terminal.line(_headline(talk), "bold")
    if talk.took_s:
        terminal.line(f"It took {talk.took_s:.2f} s: {talk.speed:.2f} times as fast as real time.")
    if talk.measures is not None and talk.measures.dropped_frames:
        terminal.line(f"{talk.measures.dropped_frames} frames were dropped: the model was too slow.")
    stages = _stages(talk)
    if stages:
        terminal.line()
        rows = [
            (words, *(f"{1000 * value:.1f} ms" for value in (stages[name].p50, stages[name].p95, stages[name].p99)))
            for name, words in _STAGES.items()
            if name in stages
        ]
        terminal.table(("latency of a frame", "median", "p95", "p99"), rows)
    terminal.line()
    _show_words(terminal, talk)
    if talk.saying is not None and talk.saying.status != "finished":
        terminal.line(f'"{printable(talk.saying.text)}" was not said to its end: it is {talk.saying.status}.')
    hint = {"tiny": _RANDOM, "demo": _SMALL}.get(talk.checkpoint)
    if hint is not None:
        terminal.line()
        terminal.line(hint)
    terminal.line()
    terminal.table(("file", "what it holds"), [(str(path), what) for path, what in _written(files).items()])


def as_json_object(talk: Talk, files: DemoFiles) -> dict[str, Any]:
    """Return the summary for a program. Latencies are in milliseconds, everything else in seconds."""
    return {
        "outcome": talk.outcome,
        "conversation": talk.conversation,
        "processor": talk.processor,
        "fingerprint": talk.fingerprint,
        "random_checkpoint": talk.is_random,
        "input_s": round(talk.input_s, 3),
        "audio_s": talk.audio_s,
        "took_s": round(talk.took_s, 3),
        "speed": round(talk.speed, 3),
        "frames": talk.frames,
        "dropped_frames": talk.measures.dropped_frames if talk.measures is not None else 0,
        "latency_ms": {
            name: {
                "median": round(1000 * stage.p50, 3),
                "p95": round(1000 * stage.p95, 3),
                "p99": round(1000 * stage.p99, 3),
            }
            for name, stage in _stages(talk).items()
        },
        "said": None if talk.saying is None else {"text": talk.saying.text, "status": talk.saying.status},
        "caller": caller_entries(talk),
        "words": word_entries(talk.texts),
        "files": {path.name: str(path.absolute()) for path in _written(files)},
    }


def _headline(talk: Talk) -> str:
    if talk.outcome == "finished":
        return f'{talk.audio_s:.2f} s of conversation, answered by the processor "{talk.processor}".'
    stopped = "Stopped" if talk.outcome == "interrupted" else "Failed"
    of = f" of {talk.input_s:.2f} s" if talk.input_s else ""
    return f"{stopped} after {talk.audio_s:.2f}{of}; what was recorded until then is kept."


def _show_words(terminal: Terminal, talk: Talk) -> None:
    if talk.questions and talk.texts:
        rows = [(f"{turn.start_s:.1f} s", turn.speaker, printable(turn.text)) for turn in exchange(talk)]
        terminal.table(("from", "who", "says"), rows)
    else:
        terminal.line(_words(talk))


def _words(talk: Talk) -> str:
    words = [printable(entry["text"]) for entry in word_entries(talk.texts)]
    if not words:
        return "no words"
    more = f" ... ({len(words) - _WORDS_SHOWN} more)" if len(words) > _WORDS_SHOWN else ""
    return f"{len(words)} words: {' '.join(words[:_WORDS_SHOWN])}{more}"


def _stages(talk: Talk) -> dict[str, Distribution]:
    if talk.measures is None:
        return {}
    found = talk.measures.stages_s
    return {name: found[name] for name in _STAGES if name in found and found[name].count}


def _written(files: DemoFiles) -> dict[Path, str]:
    return {path: what for path, what in files.all().items() if path.exists()}
