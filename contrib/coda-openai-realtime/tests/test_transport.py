"""Where it listens."""

from __future__ import annotations

import socket
import ssl
import subprocess
from pathlib import Path

import pytest
import websockets
from coda_core import CodaError

from coda_openai_realtime_testing import Serve


async def test_a_port_that_is_taken_is_one_line(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CodaError, match=f"cannot listen on 127.0.0.1 port {port}: .*in use"):
            async with serve(port=port):
                pass


@pytest.fixture
def certified(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for this machine, and its key."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


async def test_tls(serve: Serve, certified: tuple[Path, Path], tmp_path: Path) -> None:
    certificate, key = certified
    async with serve(tls_certificate=certificate, tls_key=key) as served:
        assert served.url.startswith("wss://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=str(certificate))
        async with websockets.connect(f"{served.url}/realtime", ssl=trusting) as socket_:
            assert "session.created" in str(await socket_.recv())
    with pytest.raises(CodaError, match="cannot be used: No such file"):
        async with serve(tls_certificate=tmp_path / "none.pem", tls_key=key):
            pass
