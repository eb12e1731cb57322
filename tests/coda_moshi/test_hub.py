"""Fetching from a hub, played by a small server on this machine."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from huggingface_hub import constants

from coda_core.errors import ModelError
from coda_core.interfaces import Context
from coda_moshi.config import MoshiConfig
from coda_moshi.loading import load_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@attrs.define
class Hub:
    """Serves folders as repositories, and remembers what was asked for."""

    repositories: dict[str, Path]
    fetched: list[str] = attrs.field(factory=list)


def handler_of(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            if self.path == "/":
                self.say(200, {})
                return
            repository, _, rest = self.path.strip("/").partition("/resolve/")
            revision, _, name = rest.partition("/")
            folder = hub.repositories.get(repository)
            if folder is None:
                self.say(404, {"X-Error-Code": "RepoNotFound"})
            elif repository.startswith("gated"):
                self.say(403, {"X-Error-Code": "GatedRepo"})
            elif revision not in ("main", COMMIT):
                self.say(404, {"X-Error-Code": "RevisionNotFound"})
            elif not (folder / name).is_file():
                self.say(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            else:
                content = (folder / name).read_bytes()
                if body:
                    hub.fetched.append(name)
                etag = hashlib.sha1(content).hexdigest()
                self.say(200, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}, content, body)

        def say(self, status: int, headers: dict[str, str], content: bytes = b"", body: bool = False) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


@pytest.fixture
def hub(brief_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    copy = Path(shutil.copytree(brief_folder, tmp_path / "served"))
    hub = Hub({"owner/brief": copy, "gated/brief": copy})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_of(hub)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("NO_PROXY", "*")
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.file_download.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        yield hub
        server.shutdown()
        thread.join()


def load(context: Context, model_path: str, **settings: Any) -> str:
    config = MoshiConfig(model_path=model_path, **settings)
    return load_model(config, context, torch.device("cpu")).fingerprint


def test_a_repository_is_fetched_once(hub: Hub, context: Context, brief_folder: Path) -> None:
    assert load(context, "owner/brief") == load(context, str(brief_folder))
    assert sorted(hub.fetched) == sorted(path.name for path in brief_folder.iterdir())
    load(context, "owner/brief", revision=COMMIT)
    assert len(hub.fetched) == 5


def test_what_was_fetched_serves_without_a_hub(hub: Hub, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = load(context, "owner/brief")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    assert load(context, "owner/brief") == fetched


def test_a_hub_that_does_not_answer(hub: Hub, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    said = r"owner/brief is not on this machine, and the hub \(http://127.0.0.1:1\) does not answer.* set model_path to"
    with pytest.raises(ModelError, match=said):
        load(context, "owner/brief")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model_path": "owner/other"}, r"the hub knows no repository 'owner/other', or it is private"),
        ({"model_path": "gated/brief"}, r"gives gated/brief only to those who accepted its conditions"),
        ({"model_path": "owner/brief", "revision": "beta"}, r"owner/brief has no revision 'beta'"),
        ({"model_path": "owner/-brief-"}, r"model_path is 'owner/-brief-', which can be no hub repository"),
    ],
)
def test_what_the_hub_refuses(hub: Hub, context: Context, settings: dict[str, str], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        load(context, **settings)


def test_a_repository_that_lacks_a_file(hub: Hub, context: Context) -> None:
    (hub.repositories["owner/brief"] / "mimi.safetensors").unlink()
    with pytest.raises(ModelError, match=r"owner/brief lacks a file that its config.json names"):
        load(context, "owner/brief")


def test_another_trade_is_refused_before_its_weights_are_fetched(hub: Hub, context: Context) -> None:
    path = hub.repositories["owner/brief"] / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": "hibiki"}))
    with pytest.raises(ModelError, match="a speech translation model"):
        load(context, "owner/brief")
    assert hub.fetched == ["config.json"]


def test_a_folder_may_borrow_from_a_repository(hub: Hub, context: Context, brief_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(brief_folder, tmp_path / "folder"))
    (folder / "mimi.safetensors").unlink()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "mimi_name": "hf://owner/brief/mimi.safetensors"}))
    load(context, str(folder))
    assert hub.fetched == ["mimi.safetensors"]
    (folder / "config.json").write_text(json.dumps({**config, "mimi_name": "hf://owner/gone/mimi.safetensors"}))
    with pytest.raises(ModelError, match="the hub knows no repository 'owner/gone'"):
        load(context, str(folder))
