from __future__ import annotations

import subprocess
import sys

from coda_audio import register
from coda_core.interfaces import CONTRACT_VERSION


def test_registers_its_components_under_this_contract() -> None:
    assert register.CODA_CONTRACT == CONTRACT_VERSION
    assert [each.name for each in register.coda_register_audio_sources()] == ["file", "microphone", "silence"]
    assert [each.name for each in register.coda_register_transports()] == ["file", "speaker"]


def test_registering_imports_no_audio_library() -> None:
    code = (
        "import sys, coda_audio.register as r; r.coda_register_audio_sources(); r.coda_register_transports();"
        "print([name for name in ('sounddevice', 'soundfile', 'soxr', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
