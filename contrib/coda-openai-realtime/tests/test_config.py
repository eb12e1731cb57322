from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coda_openai_realtime.config import OpenaiRealtimeConfig, VoiceFile


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "localhost", "127.8.8.8"])
def test_this_machine_alone_needs_no_token(host: str) -> None:
    assert OpenaiRealtimeConfig(host=host).token is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_another_address_without_a_token_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="no token is set"):
        OpenaiRealtimeConfig(host=host)
    OpenaiRealtimeConfig(host=host, token="secret")
    OpenaiRealtimeConfig(host=host, allow_without_token=True)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tls_key": Path("key.pem")}, "belong together"),
        ({"allowed_origins": ("example.org",)}, "no origin"),
        ({"voices": (VoiceFile(name="a", path=Path("a")), VoiceFile(name="a", path=Path("b")))}, "same name"),
        ({"prompt_template": "be kind"}, "prompt_template"),
        ({"prompt_template": "{instructions} {more}"}, "prompt_template"),
        ({"token": "with a space"}, "token"),
    ],
)
def test_settings_that_contradict_each_other(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        OpenaiRealtimeConfig(**settings)


def test_the_token_is_not_shown() -> None:
    assert "s3cret" not in repr(OpenaiRealtimeConfig(token="s3cret"))


def test_a_template_may_have_several_lines() -> None:
    template = "You are a voice.\n{instructions}\nBe brief."
    assert OpenaiRealtimeConfig(prompt_template=template).prompt_template == template
