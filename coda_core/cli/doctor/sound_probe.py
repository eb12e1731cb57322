"""Prints what PortAudio sees, as JSON. Run in a process of its own: ALSA writes to the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["look"]


def look() -> dict[str, Any]:
    """Import sounddevice and return PortAudio's version, its devices and the defaults, None where there are none."""
    import sounddevice  # type: ignore[import-untyped]

    host_apis = [each["name"] for each in sounddevice.query_hostapis()]
    devices = [_described(each, host_apis) for each in sounddevice.query_devices()]
    names = {device["index"]: device["name"] for device in devices}
    microphone, speaker = sounddevice.default.device
    return {
        "version": sounddevice.get_portaudio_version()[1],
        "count": len(devices),
        "microphone": names.get(microphone),
        "speaker": names.get(speaker),
        "devices": [
            {**device, "default_input": device["index"] == microphone, "default_output": device["index"] == speaker}
            for device in devices
        ],
    }


def _described(device: Mapping[str, Any], host_apis: Sequence[str]) -> dict[str, Any]:
    return {
        "index": device["index"],
        "name": device["name"],
        "host_api": host_apis[device["hostapi"]],
        "inputs": device["max_input_channels"],
        "outputs": device["max_output_channels"],
        "sample_rate_hz": round(device["default_samplerate"]),
        "input_latency_ms": round(1000 * device["default_high_input_latency"], 1),
        "output_latency_ms": round(1000 * device["default_high_output_latency"], 1),
    }


if __name__ == "__main__":
    print(json.dumps(look()))
