"""``coda devices``: microphones and loudspeakers."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Final

import click

from coda_core.cli.options import json_option, verbose_option
from coda_core.cli.terminal import Terminal, printable
from coda_core.errors import CodaError

__all__ = ["command"]

_LOOK_S: Final = 20.0


@click.command("devices")
@json_option
@verbose_option
@click.pass_obj
def command(terminal: Terminal, as_json: bool) -> None:
    """List the sound devices of this machine, and which are the defaults.

    An index, or a name or a part of it, is what "device" takes in a stack, under [audio_source] use = "microphone" and
    [[transport]] use = "speaker". The latency is what a device is asked for where a stack says nothing.
    """
    devices = _devices()
    if as_json:
        terminal.json({"devices": devices})
    elif devices:
        columns = ("index", "name", "in", "out", "rate", "latency ms", "system", "default")
        terminal.table(columns, [_row(device) for device in devices])
    else:
        terminal.line("no sound devices: connect one, or start the sound server of this system")


def _devices() -> list[dict[str, Any]]:
    from coda_core.cli.doctor.probing import probe

    if find_spec("sounddevice") is None:
        raise CodaError("sounddevice is not installed; pip install 'coda-core[audio]'")
    # In a process of its own, because PortAudio writes what it thinks to the terminal.
    seen = probe("coda_core.cli.doctor.sound_probe", timeout_s=_LOOK_S)
    if "error" in seen:
        raise CodaError(
            f"PortAudio cannot be used ({seen['error']}); install it: on Debian and Ubuntu, "
            "apt-get install libportaudio2"
        )
    devices: list[dict[str, Any]] = seen["devices"]
    return devices


def _row(device: dict[str, Any]) -> tuple[str, ...]:
    defaults = [word for word, key in (("in", "default_input"), ("out", "default_output")) if device[key]]
    latencies = [f"{device[f'{side}_latency_ms']:g}" for side in ("input", "output") if device[f"{side}s"]]
    return (
        str(device["index"]),
        printable(device["name"]),
        str(device["inputs"]),
        str(device["outputs"]),
        str(device["sample_rate_hz"]),
        " / ".join(latencies),
        device["host_api"],
        ", ".join(defaults),
    )
