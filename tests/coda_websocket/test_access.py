"""Who gets in, and how a token can be shown."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from typing import Any

import aiohttp
import pytest
import websockets
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection

from coda_websocket.access import Access, shown_tokens, subprotocol_for
from coda_websocket.config import WebsocketConfig

TOKEN = "s3cret-caller"
OPERATOR = "s3cret-operator"


def request(**headers: str) -> HTTPConnection:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return HTTPConnection({"type": "http", "headers": raw, "query_string": b"token=fromquery", "path": "/"})


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_a_token_is_found_wherever_it_may_be_shown() -> None:
    assert shown_tokens(request(authorization="Bearer abc"), in_query=False) == ("abc",)
    assert shown_tokens(request(authorization=basic("x", "abc")), in_query=False) == ("abc",)
    assert shown_tokens(request(authorization=basic("abc", "")), in_query=False) == ("abc",)
    assert shown_tokens(request(sec_websocket_protocol="coda, coda.token.abc"), in_query=False) == ("abc",)
    assert shown_tokens(request(), in_query=True) == ("fromquery",)
    assert shown_tokens(request(), in_query=False) == ()


@given(st.text())
def test_no_header_upsets_the_search(value: str) -> None:
    raw = [(b"authorization", value.encode("utf-8", "replace")), (b"authorization", b"Basic " + value.encode())]
    connection = HTTPConnection({"type": "http", "headers": raw, "query_string": b"", "path": "/"})
    shown_tokens(connection, in_query=True)


def test_the_subprotocol_agreed_on_shows_no_token_where_that_can_be_helped() -> None:
    assert subprotocol_for(request(sec_websocket_protocol="coda.token.abc, coda")) == "coda"
    assert subprotocol_for(request(sec_websocket_protocol="coda.token.abc")) == "coda.token.abc"
    assert subprotocol_for(request(sec_websocket_protocol="other")) is None
    assert subprotocol_for(request()) is None


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "127.0.0.1:8998", True),
        ("http://127.0.0.1:8998", "127.0.0.1:8998", True),
        ("http://localhost", "localhost:80", True),
        ("https://localhost:443", "localhost", True),
        ("http://[::1]:8998", "[::1]:8998", True),
        ("https://good.example", "127.0.0.1:8998", True),
        ("https://evil.example", "127.0.0.1:8998", False),
        ("http://127.0.0.1:8999", "127.0.0.1:8998", False),
        ("null", "127.0.0.1:8998", False),
        ("", "127.0.0.1:8998", False),
        ("file://", "127.0.0.1:8998", False),
        # A page whose own name was made to lead to this machine is of the same origin, and is not let in.
        ("http://evil.example:8998", "evil.example:8998", False),
        (None, "evil.example:8998", False),
    ],
)
def test_pages_of_other_origins_are_kept_out(origin: str | None, host: str, allowed: bool) -> None:
    access = Access(WebsocketConfig(allowed_origins=("https://good.example",)))
    headers = {"host": host} | ({"origin": origin} if origin is not None else {})
    assert (access.refused_origin(request(**headers)) is None) == allowed


def test_with_a_token_a_server_may_go_by_any_name() -> None:
    access = Access(WebsocketConfig(token=TOKEN))
    assert access.refused_origin(request(host="moshi.example", origin="https://moshi.example")) is None
    assert (
        access.refused_origin(request(host="moshi.example", origin=websockets.Origin("https://evil.example")))
        is not None
    )


CREDENTIALS: list[dict[str, Any]] = [
    {"additional_headers": {"Authorization": f"Bearer {TOKEN}"}},
    {"additional_headers": {"Authorization": basic("x", TOKEN)}},
    {"subprotocols": ["coda", f"coda.token.{TOKEN}"]},
    {"subprotocols": [f"coda.token.{TOKEN}"]},
]


@pytest.mark.parametrize("credentials", CREDENTIALS, ids=["bearer", "basic", "two subprotocols", "subprotocol"])
async def test_a_caller_with_the_token_gets_in(serve: Any, calling: Any, credentials: dict[str, Any]) -> None:
    async with serve(token=TOKEN) as served, calling(served, **credentials) as caller:
        assert caller.handshakes


async def test_kyutais_way_of_giving_a_url_gets_in(serve: Any) -> None:
    """`python -m moshi.client --url ws://x:TOKEN@host:port` is this, with this library."""
    async with serve(token=TOKEN) as served, aiohttp.ClientSession() as session:
        url = served.ws("/api/chat").replace("://", f"://x:{TOKEN}@")
        async with session.ws_connect(url) as socket:
            assert (await socket.receive()).data[0] == 0


@pytest.mark.parametrize("brings", [b"\x04" + json.dumps({"token": TOKEN}).encode(), json.dumps({"token": TOKEN})])
async def test_the_first_message_can_bring_the_token(serve: Any, calling: Any, brings: bytes | str) -> None:
    async with serve(token=TOKEN) as served, calling(served, "codec=pcm&auth=message") as caller:
        assert served.kernel.conversations == {}
        await caller.socket.send(brings)
        assert await caller.read() == 0
        assert len(served.kernel.conversations) == 1


@pytest.mark.parametrize(
    "brings", [b"\x04{}", b"\x01abc", "nonsense", '{"token": 1}', "[" * 100_000, '{"token": "no"}']
)
async def test_a_first_message_without_the_token_ends_it(serve: Any, calling: Any, brings: bytes | str) -> None:
    async with serve(token=TOKEN) as served, calling(served, "codec=pcm&auth=message") as caller:
        await caller.socket.send(brings)
        code, reason = await caller.until_closed()
        assert (code, reason) == (1008, "a valid token is needed")
        assert served.kernel.conversations == {}


async def test_a_token_in_the_query_counts_only_where_a_setting_says_so(serve: Any, calling: Any) -> None:
    async with serve(token=TOKEN) as served:
        with pytest.raises(websockets.InvalidStatus):
            async with calling(served, f"codec=pcm&token={TOKEN}"):
                pass
    async with serve(token=TOKEN, token_in_query=True) as served, calling(served, f"codec=pcm&token={TOKEN}") as caller:
        assert caller.handshakes


@pytest.mark.parametrize(
    "credentials",
    [
        {},
        {"additional_headers": {"Authorization": f"Bearer {TOKEN}x"}},
        {"additional_headers": {"Authorization": f"Bearer {OPERATOR}"}},
        {"additional_headers": {"Authorization": "Basic !!!"}},
    ],
)
async def test_a_caller_without_the_token_is_refused_before_the_upgrade(
    serve: Any, calling: Any, credentials: dict[str, Any]
) -> None:
    async with serve(token=TOKEN, operator_token=OPERATOR) as served:
        with pytest.raises(websockets.InvalidStatus) as refusal:
            async with calling(served, **credentials):
                pass
        assert refusal.value.response.status_code == 401
        assert "Bearer" in refusal.value.response.headers["WWW-Authenticate"]
        assert served.kernel.conversations == {}


@pytest.mark.parametrize("path", ["/api/chat", "/api/events"])
@pytest.mark.parametrize(
    ("shown", "told"),
    [
        # A browser that has a password for this address shows it when it is asked, and not before.
        ({}, 401),
        ({"subprotocols": ["other"]}, 401),
        ({"subprotocols": ["coda"]}, 1008),
        ({"subprotocols": [f"coda.token.{TOKEN}x"]}, 1008),
        ({"additional_headers": {"Authorization": basic("x", "wrong")}}, 1008),
    ],
)
async def test_a_page_without_the_token_is_challenged_or_told_by_a_close_code(
    serve: Any, path: str, shown: dict[str, Any], told: int
) -> None:
    async with serve(token=TOKEN) as served:
        connecting = websockets.connect(served.ws(path), origin=websockets.Origin(served.url), **shown)
        if told == 401:
            with pytest.raises(websockets.InvalidStatus) as refusal:
                await connecting
            assert refusal.value.response.status_code == told
            assert refusal.value.response.headers["WWW-Authenticate"].startswith("Basic")
        else:
            async with connecting as page:
                await page.wait_closed()
                assert page.close_code == told
                assert "token" in (page.close_reason or "")
        assert served.kernel.conversations == {}


async def test_a_page_of_another_origin_is_refused(serve: Any) -> None:
    async with serve() as served:
        for path in ("/api/chat", "/api/events"):
            with pytest.raises(websockets.InvalidStatus) as refusal:
                async with websockets.connect(served.ws(path), origin=websockets.Origin("https://evil.example")):
                    pass
            assert refusal.value.response.status_code == 403
        async with aiohttp.ClientSession() as session:
            for path in ("/readyz", "/metrics", "/api/conversations"):
                async with session.get(served.url + path, headers={"Origin": "https://evil.example"}) as answer:
                    assert answer.status == 403
                async with session.get(served.url + path, headers={"Host": "evil.example"}) as answer:
                    assert answer.status == 403


async def test_nothing_of_the_surface_is_open_without_a_token(serve: Any) -> None:
    """What a scan without a token finds: that there is a server, and whether it has room."""
    open_to_all = {"/healthz": {"ok": True}, "/readyz": {"ready": True}}
    paths = [
        *("/", "/metrics", "/api", "/api/", "/api/chat", "/api/events", "/api/conversations", "/docs", "/openapi.json"),
        *("/api/conversations/x", "/api/conversations/x/transcript", "/static", "/../etc/passwd", "//", "/%2e%2e/"),
        *open_to_all,
    ]
    async with (
        serve(token=TOKEN, operator_token=OPERATOR, page=False) as served,
        aiohttp.ClientSession() as session,
    ):
        for path in paths:
            for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"):
                async with session.request(method, served.url + path) as answer:
                    if path in open_to_all and method in ("GET", "HEAD"):
                        assert answer.status == 200
                        assert method == "HEAD" or await answer.json() == open_to_all[path]
                    else:
                        assert answer.status in (401, 404, 405), (method, path)
                    assert "server" not in answer.headers
                    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_each_token_opens_its_own_doors_alone(serve: Any, calling: Any) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        serve(token=TOKEN, operator_token=OPERATOR) as served,
        calling(served, additional_headers=bearer) as caller,
        aiohttp.ClientSession() as session,
    ):
        for path in ("/metrics", "/api/conversations", f"/api/conversations/{caller.id}/transcript"):
            for token, status in ((OPERATOR, 200), (TOKEN, 401), (caller.resume_token, 401)):
                headers = {"Authorization": f"Bearer {token}"}
                async with session.get(served.url + path, headers=headers) as answer:
                    assert answer.status == status, (path, token)
        for token in (OPERATOR, TOKEN):
            for path in (f"/api/events?conversation={caller.id}", f"/api/chat?conversation={caller.id}"):
                with pytest.raises(websockets.InvalidStatus) as refusal:
                    async with websockets.connect(
                        served.ws(path), additional_headers={"Authorization": f"Bearer {token}"}
                    ):
                        pass
                assert refusal.value.response.status_code == 401


async def test_operators_pages_are_closed_where_only_callers_have_a_token(serve: Any) -> None:
    async with (
        serve(token=TOKEN) as served,
        aiohttp.ClientSession() as session,
        session.get(served.url + "/metrics") as answer,
    ):
        assert answer.status == 403
        assert "operator_token" in (await answer.json())["error"]


async def test_no_secret_and_no_audio_is_logged(
    serve: Any, calling: Any, caplog: pytest.LogCaptureFixture, voice: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    async with (
        serve(token=TOKEN, token_in_query=True) as served,
        calling(served, f"codec=pcm&token={TOKEN}&text_temperature=0.5") as caller,
    ):
        resume = caller.resume_token
        await caller.send(voice(1, 3))
        await caller.hear(2)
        await caller.socket.send(b"")
        await caller.until_closed()
        with pytest.raises(websockets.InvalidStatus):
            async with calling(served, "codec=pcm&token=wr0ng"):
                pass
        await asyncio.sleep(0)
    of_the_server = [
        record for record in caplog.records if not record.name.startswith(("websockets.client", "asyncio"))
    ]
    told = "\n".join(record.getMessage() for record in of_the_server)
    assert f"conversation={caller.id}" in told
    for secret in (TOKEN, resume, "wr0ng", "token="):
        assert secret not in told
