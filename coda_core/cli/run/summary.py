"""What a run says at its end."""

from __future__ import annotations

from typing import Any, Final

from coda_core.cli.run.session import Tally
from coda_core.cli.terminal import Terminal
from coda_core.sound import DeviceMeasured, Direction

__all__ = ["as_json_object", "show"]

_DEVICES: Final[dict[Direction, str]] = {"input": "microphone", "output": "speaker"}


def show(terminal: Terminal, tally: Tally) -> None:
    """Print the summary for a person."""
    facts = as_json_object(tally)
    terminal.line(f'stack "{tally.stack}" {tally.outcome}', "bold")
    rows = [
        ("processor", tally.processor),
        ("conversations", str(facts["conversations"])),
        ("frames", f"{facts['frames']} ({facts['audio_s']:.2f} s of audio)"),
        ("dropped frames", str(facts["dropped_frames"])),
        *([("late frames", str(facts["late_frames"]))] if tally.realtime else ()),
        ("texts", str(facts["texts"])),
        ("faults", str(facts["faults"])),
        *((_DEVICES[each.direction], _device(each)) for each in _devices(tally)),
        *(("file", path) for path in facts["files"]),
    ]
    terminal.table(("what", "how much"), rows)


def as_json_object(tally: Tally) -> dict[str, Any]:
    """Return the summary for a program."""
    measures = tally.measures
    frames = measures.frames if measures is not None else 0
    return {
        "outcome": tally.outcome,
        "stack": tally.stack,
        "processor": tally.processor,
        "conversations": tally.conversations,
        "frames": frames,
        "audio_s": round(frames * tally.frame_s, 3),
        "dropped_frames": measures.dropped_frames if measures is not None else 0,
        "late_frames": measures.late_frames if measures is not None else 0,
        "texts": tally.texts,
        "faults": tally.faults,
        "devices": [
            {
                "direction": each.direction,
                "device": each.device,
                "latency_ms": round(1000 * each.latency_s, 1),
                "xruns": each.xruns,
                "underruns": each.underruns,
                "dropped_s": round(each.dropped_s, 3),
                "losses": each.losses,
            }
            for each in _devices(tally)
        ],
        "files": [str(path) for path in tally.files],
    }


def _devices(tally: Tally) -> list[DeviceMeasured]:
    return sorted(tally.devices.values(), key=lambda device: device.direction)


def _device(device: DeviceMeasured) -> str:
    told = f"{device.device}: {device.xruns} xruns"
    if device.direction == "output":
        told += f", {device.underruns} underruns"
    if device.dropped_s:
        told += f", {device.dropped_s:.2f} s thrown away"
    if device.losses:
        told += f", gone {device.losses} times"
    return told
