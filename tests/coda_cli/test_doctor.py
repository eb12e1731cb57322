from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from coda_core.cli.doctor.accelerator import accelerator
from coda_core.cli.doctor.finding import Finding
from coda_core.cli.doctor.hub import hub
from coda_core.cli.doctor.packages import component_packages, plugins
from coda_core.cli.doctor.probing import probe
from coda_core.cli.doctor.sound import sound
from coda_core.cli.doctor.storage import storage
from coda_core.plugins import load_plugins

Run = Callable[..., Any]
Install = Callable[[str, str], None]
Serve = Callable[[int], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a web server that answers everything with one status, and returns its address."""
    servers: list[HTTPServer] = []

    def serve(status: int) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:  # the name that the base class looks for
                self.send_response(status)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                del format, args

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_whole_examination(run: Run, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", serve(200))
    monkeypatch.setenv("CODA_CACHE_DIR", str(tmp_path / "cache"))
    told = run("doctor", "--json")
    report = json.loads(told.out)
    assert (told.code, told.err, report["ok"]) == (0, "", True)
    about = {each["about"]: each for each in report["findings"]}
    assert {"python", "coda-core", "numpy", "plugins", "cores", "memory", "cache", "hub cache", "torch", "hub"} <= set(
        about
    )
    assert {"sound", "processor moshi"} <= set(about)
    assert about["coda-core"]["found"] == metadata.version("coda-core")
    assert about["torch"]["found"].startswith(metadata.version("torch").partition("+")[0])
    assert about["hub"]["status"] == "ok"
    assert str(tmp_path / "cache") in about["cache"]["found"]
    assert [each for each in report["findings"] if each["status"] != "ok" and not each["remedy"]] == []


def test_plain_report_has_a_line_for_each_finding(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    findings = [Finding("ok", "python", "3.11"), Finding("warn", "cuda", "no device", "Buy one.")]
    monkeypatch.setattr("coda_core.cli.doctor.entry._look", lambda: iter(findings))
    told = run("doctor")
    assert told.out == "ok    python: 3.11\nwarn  cuda: no device\n      Buy one.\n"
    assert told.code == 0


def test_failure_of_the_base_install_ends_with_2(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    findings = [Finding("fail", "numpy", "not installed", "Install it.")]
    monkeypatch.setattr("coda_core.cli.doctor.entry._look", lambda: iter(findings))
    assert run("doctor").code == 2
    told = run("doctor", "--json")
    assert (told.code, json.loads(told.out)["ok"]) == (2, False)


def test_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    # Nothing listens on the port for discarding.
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    (found,) = hub()
    assert found.status == "warn"
    assert "http://127.0.0.1:9 cannot be reached: " in found.found
    assert "HF_HUB_OFFLINE=1" in found.remedy
    assert "processor.model_path" in found.remedy


def test_hub_that_refuses(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", serve(503))
    (found,) = hub()
    assert (found.status, found.found.partition(" ")[2]) == ("warn", "answers with HTTP status 503")


def test_hub_is_not_asked_where_one_does_not_want_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    (found,) = hub()
    assert found.status == "ok"


def test_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("CODA_CACHE_DIR", str(tmp_path / "taken"))
    found = next(iter(storage()))
    assert (found.status, found.about) == ("fail", "cache")
    assert "cannot be written" in found.found
    assert "CODA_CACHE_DIR" in found.remedy


@pytest.mark.parametrize(
    ("variable", "value", "folder"),
    [("HF_HUB_CACHE", "here", "here"), ("HF_HOME", "home", "home/hub")],
)
def test_hub_cache_is_where_the_hub_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, folder: str
) -> None:
    for name in ("HF_HUB_CACHE", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CODA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv(variable, str(tmp_path / value))
    _, found = storage()
    assert found.found.startswith(f"{tmp_path / folder}, ")


MUTE = """
import attrs
from coda_core.hookspecs import hookimpl
from coda_core.interfaces import Component, Requires
CODA_CONTRACT = 1

@attrs.frozen
class Config:
    pass

@hookimpl
def coda_register_transports():
    requires = Requires(("no_such_module_here",), "mute[sound]")
    return [Component("deaf", "Sends nothing.", Config, lambda config, context: None, requires=requires)]
"""


def test_missing_packages_of_a_component(install: Install) -> None:
    install("mute", MUTE)
    (found,) = (each for each in component_packages(load_plugins()) if each.about == "transport deaf")
    assert found == Finding("warn", "transport deaf", "not installed: no_such_module_here", "pip install 'mute[sound]'")


def test_broken_plugin_of_a_third_party_is_a_warning(install: Install) -> None:
    install("shaky", "import no_such_module_here")
    broken, loaded = plugins(load_plugins())
    assert (broken.status, broken.about) == ("warn", "plugin shaky")
    assert "CODA_DISABLED_PLUGINS=shaky" in broken.remedy
    assert (loaded.status, loaded.about) == ("ok", "plugins")
    # Others may be installed here too.
    assert {"coda_audio", "coda_moshi", "coda_state", "coda_streaming", "coda_websocket"} <= {*loaded.found.split(", ")}
    assert "shaky" not in loaded.found


def module(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> str:
    (folder / "probed_module.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return "probed_module"


def test_probe_returns_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = module(tmp_path, monkeypatch, 'import sys; print(\'{"python": "%s"}\' % sys.executable)')
    assert probe(name, timeout_s=60) == {"python": sys.executable}


def test_probe_that_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = module(tmp_path, monkeypatch, "raise OSError('PortAudio library not found')")
    assert probe(name, timeout_s=60) == {"error": "OSError: PortAudio library not found"}


def test_probe_that_crashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = module(tmp_path, monkeypatch, "import os; os.abort()")
    assert probe(name, timeout_s=60) == {"error": "the process ended with code -6"}


def test_probe_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = module(tmp_path, monkeypatch, "import threading; threading.Event().wait()")
    assert probe(name, timeout_s=0.1) == {"error": "no answer within 0.1 s"}


def seen(monkeypatch: pytest.MonkeyPatch, module: str, answer: dict[str, Any]) -> None:
    """Let a probe see what this machine does not have."""
    monkeypatch.setattr(f"coda_core.cli.doctor.{module}.probe", lambda *_, **__: answer)
    monkeypatch.setattr(f"coda_core.cli.doctor.{module}.find_spec", lambda _: True)


def gpu(free: float) -> dict[str, Any]:
    return {"name": "H100", "free_bytes": int(free * 1e9), "total_bytes": int(80e9)}


@pytest.mark.parametrize(
    ("free", "status", "found"),
    [
        (79.0, "ok", "H100, 80.0 GB of memory, 79.0 GB free"),
        (4.0, "warn", "H100, 80.0 GB of memory, 4.0 GB free"),
    ],
)
def test_graphics_card(monkeypatch: pytest.MonkeyPatch, free: float, status: str, found: str) -> None:
    seen(monkeypatch, "accelerator", {"version": "2.9.1", "cuda": "12.8", "devices": [gpu(free)]})
    torch, cuda = accelerator()
    assert torch == Finding("ok", "torch", "2.9.1, built for CUDA 12.8")
    assert (cuda.status, cuda.about, cuda.found) == (status, "cuda", found)
    assert bool(cuda.remedy) == (status == "warn")


def test_no_graphics_card(monkeypatch: pytest.MonkeyPatch) -> None:
    seen(monkeypatch, "accelerator", {"version": "2.9.1", "cuda": None, "devices": []})
    torch, cuda = accelerator()
    assert torch.found == "2.9.1, built for the CPU alone"
    assert (cuda.status, cuda.found) == ("warn", "no device; models run on the CPU")


def test_torch_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    seen(monkeypatch, "accelerator", {"error": "OSError: libc10.so is not found"})
    (torch,) = accelerator()
    assert (torch.status, torch.found) == ("warn", "cannot be used: OSError: libc10.so is not found")


def test_sound_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"version": "PortAudio V19.6.0, revision unknown", "count": 3, "microphone": "Mic", "speaker": None}
    seen(monkeypatch, "sound", answer)
    portaudio, microphone, speaker = sound()
    assert portaudio == Finding("ok", "sound", "PortAudio V19.6.0, 3 devices")
    assert microphone == Finding("ok", "microphone", "Mic")
    assert (speaker.status, speaker.found) == ("warn", "no default device")


def test_no_portaudio(monkeypatch: pytest.MonkeyPatch) -> None:
    seen(monkeypatch, "sound", {"error": "OSError: PortAudio library not found"})
    (found,) = sound()
    assert found.status == "warn"
    assert "libportaudio2" in found.remedy


@pytest.mark.parametrize(
    ("examine", "about", "remedy"),
    [(accelerator, "torch", "pip install 'coda-core[moshi]'"), (sound, "sound", "pip install 'coda-core[audio]'")],
)
def test_extra_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, examine: Callable[[], Iterator[Finding]], about: str, remedy: str
) -> None:
    monkeypatch.setattr(f"{examine.__module__}.find_spec", lambda _: None)
    (found,) = examine()
    assert (found.status, found.about, found.remedy) == ("warn", about, remedy)
