"""Settings of the transport `websocket`. Light: read when plugins are listed."""

from __future__ import annotations

from pathlib import Path

import attrs

from coda_core.network import check_server
from coda_core.settings import setting

__all__ = ["WebsocketConfig"]

_TOKEN = r"[\x21-\x7e]{1,1024}"


@attrs.frozen(kw_only=True)
class WebsocketConfig:
    """Settings of `websocket`.

    Raises ValueError where the settings contradict each other, and where an address that others can reach is to be
    served to everybody without `allow_without_token` insisting on it.
    """

    host: str = setting("127.0.0.1", help="address to listen on; 0.0.0.0 or :: for all of this machine's")
    port: int = setting(8998, minimum=0, maximum=65_535, help="TCP port to listen on; 0 takes a free one")
    page: bool = setting(True, help="serve the web page for talking with a browser at /")

    token: str | None = setting(
        None,
        pattern=_TOKEN,
        secret=True,
        help="what callers show to have a conversation, printable ASCII without spaces; none asks for nothing",
    )
    operator_token: str | None = setting(
        None,
        pattern=_TOKEN,
        secret=True,
        help="what operators show to read /metrics and /api/conversations; none closes them where callers need a token",
    )
    allow_without_token: bool = setting(
        False, help="listen on an address that other machines reach although no token is set"
    )
    token_in_query: bool = setting(
        False, help="also take a token from the query parameter 'token', which proxies and browsers may write down"
    )
    allowed_origins: tuple[str, ...] = setting(
        (), help="origins of web pages that may connect beside the server's own, such as https://example.org"
    )
    trusted_proxies: tuple[str, ...] = setting(
        (), help="addresses of reverse proxies whose X-Forwarded-For and -Proto are believed"
    )
    tls_certificate: Path | None = setting(
        None, help="PEM file with the certificate and its chain; serves https and wss"
    )
    tls_key: Path | None = setting(None, help="PEM file with the private key of tls_certificate")

    websocket_events_enabled: bool = setting(
        True, help="serve /api/events: what happens in a conversation as JSON, and commands to it"
    )
    max_temperature: float = setting(
        1.5, minimum=0, maximum=100, help="highest temperature that a caller gets; who asks for more gets this"
    )
    max_top_k: int = setting(
        2048, minimum=1, help="most tokens to choose among that a caller gets, where the processor allows as many"
    )
    max_prompt_characters: int = setting(
        2000, minimum=0, help="longest text_prompt that a caller may send; 0 allows none"
    )

    max_connections: int = setting(1000, minimum=1, help="connections at once")
    max_connections_per_address: int = setting(128, minimum=1, help="connections at once from one address")
    max_message_bytes: int = setting(262_144, minimum=1024, maximum=16_777_216, help="largest message of a peer")
    max_messages_per_s: float = setting(
        200.0, minimum=1, help="messages per second that a peer may send, on average over some seconds"
    )
    max_bytes_per_s: float = setting(
        262_144.0, minimum=1024, help="bytes per second that a peer may send, on average over some seconds"
    )
    max_audio_ahead_s: float = setting(
        10.0, minimum=0.5, help="seconds of audio that a peer may be ahead of real time before it is disconnected"
    )
    max_conversation_s: float = setting(
        3600.0, minimum=0, help="seconds after which a conversation is ended; 0 for no end"
    )
    send_buffer_frames: int = setting(
        50, minimum=1, maximum=10_000, help="frames of 80 ms that wait for a slow peer; older ones are dropped"
    )
    send_timeout_s: float = setting(
        20.0, minimum=0.1, maximum=3600, help="seconds in which a peer must take a message, else it is disconnected"
    )
    handshake_timeout_s: float = setting(
        10.0, minimum=0.1, maximum=3600, help="seconds for a request, and for the token where a first message brings it"
    )
    idle_timeout_s: float = setting(
        120.0, minimum=1, maximum=86_400, help="seconds without any message after which a caller is disconnected"
    )
    ping_interval_s: float = setting(20.0, minimum=0.1, maximum=3600, help="seconds between two pings")
    ping_timeout_s: float = setting(
        20.0, minimum=0.1, maximum=3600, help="seconds in which a ping must be answered, else the peer is gone"
    )
    grace_s: float = setting(
        30.0, minimum=0, maximum=86_400, help="seconds that a conversation waits in its slot for a peer to come back"
    )
    shutdown_timeout_s: float = setting(
        10.0, minimum=0, maximum=3600, help="seconds that peers have to take their leave when the server ends"
    )
    log_conversations: bool = setting(
        True, help="write to the log when the server listens, and when conversations begin, break off and end"
    )
    opus_processes: int | None = setting(
        None, minimum=1, maximum=64, help="processes that code Opus; by default one for every two processors, 1 to 8"
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
        if self.token is not None and self.token == self.operator_token:
            raise ValueError("token and operator_token are the same; callers must not be operators")
