"""Listing the plugin costs nothing."""

from __future__ import annotations

import subprocess
import sys


def test_registering_imports_nothing_heavy() -> None:
    program = (
        "import sys; import coda_websocket.register; "
        "heavy = {'numpy', 'starlette', 'uvicorn', 'websockets', 'sphn', 'prometheus_client'}; "
        "print(*sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""
