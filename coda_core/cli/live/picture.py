"""What a running stack looks like on a terminal: a line for one conversation, a table for many."""

from __future__ import annotations

from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from coda_core.cli.live.watch import View, Watch
from coda_core.sound import DeviceMeasured, Direction

__all__ = ["Picture"]

_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_ASCII: Final = " .:-=+*##"
_FLOOR_DBFS: Final = -60.0
_BAR: Final = 10
_MOST_ROWS: Final = 20
_OTHER_COLUMNS: Final = 68
"""What all columns but the words take of a line."""
_DEVICE_WORDS: Final[dict[Direction, str]] = {"input": "mic", "output": "speaker"}


class Picture:
    """Draws a `Watch` as it is at that moment."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        plain = not options.encoding.startswith("utf") or options.legacy_windows
        views = list(self._watch.views.values())
        if not views:
            yield Text("no conversation; Ctrl-C ends it", style="dim")
        elif len(views) == 1:
            yield self._line(views[0], plain)
            yield _latest(views[0].words, options.max_width)
        else:
            yield self._summary(len(views))
            yield self._table(views, plain, options.max_width)

    def _line(self, view: View, plain: bool) -> Text:
        measures = self._watch.measures
        lane = measures.conversations.get(view.id)
        line = Text("you ", no_wrap=True, overflow="ellipsis")
        line.append(_bar(view.heard_dbfs, plain), "cyan").append(" Moshi ")
        line.append(_bar(view.spoken_dbfs, plain), "green")
        for device in sorted(self._watch.devices.values(), key=lambda device: device.direction):
            _append(line, *_device(device))
        if lane is not None:
            _append(line, f"late {1000 * max(0.0, lane.lateness_s.p95):.0f} ms", lane.late_frames > 0)
            _append(line, f"drops {lane.dropped_frames}", lane.dropped_frames > 0)
        _append(line, f"load {measures.load:.0%}", measures.load > 1)
        return line

    def _summary(self, count: int) -> Text:
        measures = self._watch.measures
        line = Text(f"{count} of {measures.capacity} conversations")
        _append(line, f"load {measures.load:.0%}", measures.load > 1)
        _append(line, f"drops {measures.dropped_frames}", measures.dropped_frames > 0)
        _append(line, f"late {measures.late_frames}", measures.late_frames > 0)
        return line

    def _table(self, views: list[View], plain: bool, width: int) -> Table:
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, expand=True)
        for column in ("who", "in", "Moshi", "time", "late ms", "drops"):
            table.add_column(
                column, no_wrap=True, justify="right" if column in ("time", "late ms", "drops") else "left"
            )
        table.add_column("words", no_wrap=True, ratio=1)
        lanes = self._watch.measures.conversations
        for view in views[:_MOST_ROWS]:
            lane = lanes.get(view.id)
            late = f"{1000 * max(0.0, lane.lateness_s.p95):.0f}" if lane is not None else ""
            dropped = str(lane.dropped_frames) if lane is not None else ""
            seconds = round(view.frames * self._watch.frame_s)
            table.add_row(
                Text((view.user_id or view.id)[:16]),
                Text(_bar(view.heard_dbfs, plain), "cyan"),
                Text(_bar(view.spoken_dbfs, plain), "green"),
                f"{seconds // 60}:{seconds % 60:02}",
                late,
                dropped,
                _latest(view.words, width - _OTHER_COLUMNS),
            )
        if len(views) > _MOST_ROWS:
            table.add_row(Text(f"and {len(views) - _MOST_ROWS} more", "dim"))
        return table


def _append(line: Text, words: str, bad: bool = False) -> None:
    line.append("  ").append(words, "bold red" if bad else "dim")


def _device(device: DeviceMeasured) -> tuple[str, bool]:
    what = _DEVICE_WORDS[device.direction]
    if not device.connected:
        return f"{what} gone", True
    told = f"{what} {1000 * device.latency_s:.0f} ms"
    return (f"{told}, {device.glitches} glitches", True) if device.glitches else (told, False)


def _latest(words: str, width: int) -> Text:
    """Return as much of the end of `words` as fits one line."""
    width = max(2, width)
    return Text(words if len(words) <= width else f"…{words[1 - width :]}", no_wrap=True, overflow="ellipsis")


def _bar(level_dbfs: float, plain: bool) -> str:
    """Return a level meter of ten characters, from -60 dBFS to full scale."""
    glyphs = _ASCII if plain else _BLOCKS
    share = min(1.0, max(0.0, 1 - level_dbfs / _FLOOR_DBFS))
    eighths = round(share * _BAR * 8)
    full, rest = divmod(eighths, 8)
    return (glyphs[8] * full + (glyphs[rest] if rest else "")).ljust(_BAR)
