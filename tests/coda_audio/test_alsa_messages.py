from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import ctypes, logging, sys
from coda_audio.alsa_messages import log_alsa_messages
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(name)s %(levelname)s %(message)s")
log_alsa_messages()
opened = ctypes.c_void_p()
alsa = ctypes.CDLL("libasound.so.2")
print(alsa.snd_pcm_open(ctypes.byref(opened), b"no-such-device", 0, 0) < 0)
"""


def test_messages_go_to_the_log_and_not_to_the_terminal() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    assert "coda.sound INFO ALSA, snd_pcm_open_noupdate: Unknown PCM" in ran.stdout
    assert ran.stdout.endswith("True\n")
