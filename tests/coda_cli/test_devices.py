from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]

MIXER = {
    "index": 0,
    "name": "Mixer",
    "host_api": "ALSA",
    "inputs": 2,
    "outputs": 8,
    "sample_rate_hz": 44_100,
    "input_latency_ms": 8.7,
    "output_latency_ms": 34.8,
    "default_input": False,
    "default_output": True,
}
EAR = {**MIXER, "index": 3, "name": "Ear\x1b[2J", "outputs": 0, "default_input": True, "default_output": False}


@pytest.fixture
def sees(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], None]:
    """Says what a look at the sound system finds."""

    def sees(answer: dict[str, Any]) -> None:
        monkeypatch.setattr("coda_core.cli.devices.find_spec", lambda _: True)
        monkeypatch.setattr("coda_core.cli.doctor.probing.probe", lambda *_, **__: answer)

    return sees


def test_table_marks_the_defaults(run: Run, sees: Callable[[dict[str, Any]], None]) -> None:
    sees({"devices": [MIXER, EAR]})
    told = run("devices")
    assert told.code == 0
    assert told.out.splitlines() == [
        "index  name     in  out  rate   latency ms  system  default",
        "0      Mixer    2   8    44100  8.7 / 34.8  ALSA    out",
        "3      Ear\N{REPLACEMENT CHARACTER}[2J  2   0    44100  8.7         ALSA    in",
    ]


def test_json(run: Run, sees: Callable[[dict[str, Any]], None]) -> None:
    sees({"devices": [MIXER, EAR]})
    assert json.loads(run("devices", "--json").out) == {"devices": [MIXER, EAR]}


def test_no_devices(run: Run, sees: Callable[[dict[str, Any]], None]) -> None:
    sees({"devices": []})
    told = run("devices")
    assert (told.code, told.out) == (
        0,
        "no sound devices: connect one, or start the sound server of this system\n",
    )
    assert json.loads(run("devices", "--json").out) == {"devices": []}


def test_no_portaudio(run: Run, sees: Callable[[dict[str, Any]], None]) -> None:
    sees({"error": "OSError: PortAudio library not found"})
    told = run("devices")
    assert (told.code, told.out) == (2, "")
    assert told.err == (
        "coda: error: PortAudio cannot be used (OSError: PortAudio library not found); install it: on Debian and "
        "Ubuntu, apt-get install libportaudio2\n"
    )


def test_no_sounddevice(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coda_core.cli.devices.find_spec", lambda _: None)
    told = run("devices", "--json")
    assert (told.code, told.err) == (
        2,
        "coda: error: sounddevice is not installed; pip install 'coda-core[audio]'\n",
    )
