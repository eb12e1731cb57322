"""Settings that are safe, and that say what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coda_core import ConfigError
from coda_core.config import read_stack, resolve
from coda_core.network import is_loopback
from coda_websocket.config import WebsocketConfig


def test_by_default_only_this_machine_is_served() -> None:
    assert is_loopback(WebsocketConfig().host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "moshi.example"])
def test_others_are_served_with_a_token_or_on_insistence_alone(host: str) -> None:
    with pytest.raises(ValueError, match="no token is set"):
        WebsocketConfig(host=host)
    assert WebsocketConfig(host=host, token="secret").host == host
    assert WebsocketConfig(host=host, allow_without_token=True).host == host


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tls_certificate": Path("a.pem")}, "belong together"),
        ({"token": "same", "operator_token": "same"}, "callers must not be operators"),
        ({"allowed_origins": ("example.org",)}, "is no origin"),
        ({"allowed_origins": ("https://example.org/path",)}, "is no origin"),
        ({"port": 70_000}, "too large"),
        ({"token": "with space"}, "has not the expected form"),
        ({"token": ""}, "has not the expected form"),
    ],
)
def test_contradictions_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        WebsocketConfig(**settings)


def test_tokens_are_never_shown() -> None:
    assert "hush" not in repr(WebsocketConfig(token="hush-1", operator_token="hush-2"))


def test_an_open_address_is_an_error_of_the_file_that_names_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "stack.toml"
    path.write_text('[processor]\nuse = "echo"\n[[transport]]\nuse = "websocket"\nhost = "0.0.0.0"\n')
    with pytest.raises(ConfigError) as error:
        resolve(*read_stack(path))
    assert "allow_without_token" in str(error.value)
    assert "transport" in str(error.value)
