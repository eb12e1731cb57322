"""A sound server of a test's own: two sinks that nothing is connected to, one of which is heard by a microphone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

__all__ = ["SoundServer"]

_PROGRAMS: Final = ("pulseaudio", "pactl", "paplay", "parec")
_ALSA: Final = """\
</usr/share/alsa/alsa.conf>
pcm.!default {{ type pulse server "{server}" hint {{ show on description "The default of the test" }} }}
ctl.!default {{ type pulse server "{server}" }}
pcm.studio {{ type pulse server "{server}" hint {{ show on description "The same under another name" }} }}
"""


class SoundServer:
    """PulseAudio as any user can run it, in a folder of its own.

    What is played to the sink ``caller`` is heard by the default microphone; what the default loudspeaker gives out
    can be recorded from ``speaker.monitor``.
    """

    def __init__(self, folder: Path) -> None:
        missing = [program for program in _PROGRAMS if shutil.which(program) is None]
        assert not missing, f"apt-get install pulseaudio pulseaudio-utils libasound2-plugins: no {', '.join(missing)}"
        self._folder = folder
        self._socket = folder / "native"
        address = f"unix:{self._socket}"
        (folder / "asound.conf").write_text(_ALSA.format(server=address))
        (folder / "script.pa").write_text(
            f"load-module module-native-protocol-unix socket={self._socket} auth-anonymous=1\n"
            "load-module module-null-sink sink_name=speaker rate=48000 channels=2\n"
            "load-module module-null-sink sink_name=caller rate=48000 channels=1\n"
            "load-module module-remap-source master=caller.monitor source_name=microphone\n"
            "set-default-sink speaker\n"
            "set-default-source microphone\n"
        )
        runtime = folder / "runtime"
        runtime.mkdir(mode=0o700)
        self.environment = {
            **os.environ,
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(runtime),
            "PULSE_SERVER": address,
            "ALSA_CONFIG_PATH": str(folder / "asound.conf"),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it answers."""
        options = ["--daemonize=no", "--system=false", "--exit-idle-time=-1", "--use-pid-file=no", "--disable-shm=true"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["pulseaudio", *options, "-n", "-F", str(self._folder / "script.pa")],
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        while self.run("pactl", "list", "short", "sources").count("\n") < 3:
            assert self._process.poll() is None, (self._folder / "log").read_text()

    def stop(self) -> None:
        """End it at once, as a device is pulled out."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._socket.unlink(missing_ok=True)
            self._process = None

    def run(self, *command: str) -> str:
        """Run a program that talks to it, and return what it prints."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True).stdout

    def start_program(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def start_coda(self, *arguments: str) -> subprocess.Popen[str]:
        return self.start_program(sys.executable, "-m", "coda_core.cli", *arguments)
