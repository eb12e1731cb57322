"""PortAudio and sound devices."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Final

from coda_core.cli.doctor.finding import Finding
from coda_core.cli.doctor.probing import probe

__all__ = ["sound"]

_LOOK_S: Final = 20.0


def sound() -> Iterator[Finding]:
    """Yield whether a microphone and a loudspeaker can be used. Files and servers need neither."""
    if find_spec("sounddevice") is None:
        yield Finding("warn", "sound", "sounddevice is not installed", "pip install 'coda-core[audio]'")
        return
    seen = probe("coda_core.cli.doctor.sound_probe", timeout_s=_LOOK_S)
    if "error" in seen:
        remedy = "Install PortAudio: on Debian and Ubuntu, apt-get install libportaudio2"
        yield Finding("warn", "sound", seen["error"], remedy)
        return
    yield Finding("ok", "sound", f"{seen['version'].partition(',')[0]}, {seen['count']} devices")
    for about in ("microphone", "speaker"):
        if seen[about] is None:
            remedy = "Connect one, or choose a default device in the sound settings of this system."
            yield Finding("warn", about, "no default device", remedy)
        else:
            yield Finding("ok", about, seen[about])
