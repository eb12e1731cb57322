"""Prints what PortAudio sees, as JSON. Run in a process of its own: ALSA writes to the terminal."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["look"]


def look() -> dict[str, Any]:
    """Import sounddevice and return PortAudio's version and the default devices, None where there are none."""
    import sounddevice  # type: ignore[import-untyped]

    def default(index: int) -> str | None:
        return str(sounddevice.query_devices(index)["name"]) if index >= 0 else None

    microphone, speaker = sounddevice.default.device
    return {
        "version": sounddevice.get_portaudio_version()[1],
        "count": len(sounddevice.query_devices()),
        "microphone": default(microphone),
        "speaker": default(speaker),
    }


if __name__ == "__main__":
    print(json.dumps(look()))
