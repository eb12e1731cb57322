"""Settings of the transport `openai-realtime`. Light: read when plugins are listed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import attrs
from coda_core import setting
from coda_core.network import check_server

__all__ = ["OpenaiRealtimeConfig", "SpokenRole", "VoiceFile"]

SpokenRole = Literal["user", "assistant", "system"]


@attrs.frozen(kw_only=True)
class VoiceFile:
    """A voice that clients may ask for."""

    name: str = setting(help="what clients call it, as in 'marin'", pattern=r"\S{1,64}")
    path: Path = setting(help="recording of that voice, which the model takes on before the conversation begins")


@attrs.frozen(kw_only=True)
class OpenaiRealtimeConfig:
    """Settings of `openai-realtime`.

    Raises ValueError where the settings contradict each other, and where an address that others can reach is to be
    served to everybody without `allow_without_token` insisting on it.
    """

    host: str = setting("127.0.0.1", help="address to listen on; 0.0.0.0 or :: for all of this machine's")
    port: int = setting(8999, minimum=0, maximum=65_535, help="TCP port to listen on; 0 takes a free one")
    token: str | None = setting(
        None,
        pattern=r"[A-Za-z0-9._~+/=-]{1,1024}",
        secret=True,
        help="the API key that clients show: letters, digits and ._~+/=-; none asks for nothing",
    )
    allow_without_token: bool = setting(
        False, help="listen on an address that other machines reach although no token is set"
    )
    allowed_origins: tuple[str, ...] = setting(
        (), help="origins of web pages that may connect where no token is set, such as https://example.org"
    )
    tls_certificate: Path | None = setting(None, help="PEM file with the certificate and its chain; serves wss")
    tls_key: Path | None = setting(None, help="PEM file with the private key of tls_certificate")

    models: tuple[str, ...] = setting(
        (), help="names of models that clients may ask for; none takes every name for the model that is served"
    )
    voices: tuple[VoiceFile, ...] = setting((), help="voices that clients may ask for, each with a recording")
    unknown_voices: Literal["ignore", "refuse"] = setting(
        "ignore", help="what becomes of a voice that is none of voices: the model's own speaks, or it is an error"
    )
    instructions: Literal["prompt", "ignore"] = setting(
        "prompt", help="what becomes of a session's instructions: the model's prompt where it takes one, or nothing"
    )
    prompt_template: str = setting(
        "{instructions}",
        pattern=r"[^{}]*\{instructions\}[^{}]*",
        help="text of the prompt, with {instructions} where those of the client go",
    )
    max_instructions_characters: int = setting(2000, minimum=0, help="longest instructions that a client may send")
    spoken_roles: tuple[SpokenRole, ...] = setting(
        ("user", "assistant"), help="roles whose text items Moshi speaks; those of others are kept and do nothing"
    )
    say_deadline_s: float = setting(
        2.0, minimum=0, maximum=60, help="seconds after which a text is spoken even in the middle of something else"
    )

    response_end_s: float = setting(
        1.0, minimum=0, maximum=60, help="seconds of silence after which a response of Moshi's is over"
    )
    response_wait_s: float = setting(
        10.0, minimum=0.1, maximum=600, help="seconds in which a response that a client asked for must begin"
    )
    max_response_s: float = setting(
        120.0, minimum=1, maximum=3600, help="seconds after which a response ends and the next begins"
    )
    hold_line_s: float = setting(
        5.0,
        minimum=1,
        maximum=86_400,
        help="seconds that Moshi goes on hearing silence for after a client's last audio, text or answer",
    )

    max_connections: int = setting(100, minimum=1, help="connections at once")
    max_message_bytes: int = setting(2_097_152, minimum=1024, maximum=16_777_216, help="largest message of a client")
    max_messages_per_s: float = setting(
        200.0, minimum=1, help="messages per second that a client may send, on average over some seconds"
    )
    max_bytes_per_s: float = setting(
        524_288.0, minimum=1024, help="bytes per second that a client may send, on average, beside a few large messages"
    )
    max_audio_ahead_s: float = setting(
        60.0,
        minimum=1,
        maximum=600,
        help="seconds of audio that may wait, where a client sends it faster than it plays",
    )
    send_buffer_frames: int = setting(
        50, minimum=1, maximum=10_000, help="frames of 80 ms that wait for a slow client; older ones are dropped"
    )
    send_timeout_s: float = setting(
        20.0, minimum=0.1, maximum=3600, help="seconds in which a client must take a message, else it is disconnected"
    )
    handshake_timeout_s: float = setting(10.0, minimum=0.1, maximum=3600, help="seconds for a request")
    idle_timeout_s: float = setting(
        600.0, minimum=1, maximum=86_400, help="seconds without any message after which a client is disconnected"
    )
    max_session_s: float = setting(3600.0, minimum=0, help="seconds after which a session is ended; 0 for no end")
    ping_interval_s: float = setting(20.0, minimum=0.1, maximum=3600, help="seconds between two pings")
    ping_timeout_s: float = setting(
        20.0, minimum=0.1, maximum=3600, help="seconds in which a ping must be answered, else the client is gone"
    )

    def __attrs_post_init__(self) -> None:
        check_server(
            host=self.host,
            token=self.token,
            allow_without_token=self.allow_without_token,
            tls_certificate=self.tls_certificate,
            tls_key=self.tls_key,
            allowed_origins=self.allowed_origins,
        )
        names = [voice.name for voice in self.voices]
        if len(set(names)) < len(names):
            raise ValueError("voices: two of them have the same name")
