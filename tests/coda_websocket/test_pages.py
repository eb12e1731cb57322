"""The plain HTTP pages, and the dashboard that is drawn from one of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from coda_core import Stack
from coda_moshi.config import EchoConfig, MoshiConfig
from coda_streaming.config import OfflineConfig

DOCS = Path(__file__).parent.parent.parent / "docs"
FRAME = 1_920


async def get(served: Any, path: str, **headers: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.get(served.url + path, headers=headers) as answer:
        text = await answer.text()
        return answer.status, json.loads(text) if answer.content_type == "application/json" else text


async def test_a_server_is_ready_while_it_has_room(serve: Any, calling: Any, until: Any) -> None:
    async with serve(Stack(processor=EchoConfig(conversations=1))) as served:
        assert await get(served, "/healthz") == (200, {"ok": True})
        status, answer = await get(served, "/readyz")
        assert (status, answer["ready"], answer["capacity"], answer["free"]) == (200, True, 1, 1)
        async with calling(served):
            status, answer = await get(served, "/readyz")
            assert (status, answer["ready"], answer["free"]) == (503, False, 0)
            assert (await get(served, "/healthz"))[0] == 200
        # Who is gone makes room for who comes.
        (conversation,) = served.kernel.conversations.values()
        await until(lambda: conversation.detached_since_s is not None)
        status, answer = await get(served, "/readyz")
        assert (status, answer["free"]) == (200, 1)


async def test_conversations_are_listed_with_their_state_and_what_was_said(
    serve: Any, calling: Any, voice: Any, until: Any
) -> None:
    stack = Stack(processor=MoshiConfig(model_path="tiny", conversations=2), streaming_manager=OfflineConfig())
    async with serve(stack) as served, calling(served, "codec=pcm&seed=1") as caller:
        await caller.send(voice(1, 40))
        await caller.hear(39)
        status, answer = await get(served, "/api/conversations")
        assert status == 200
        (row,) = answer["conversations"]
        assert (row["conversation"], row["status"], row["frame"]) == (caller.id, "live", 40)
        assert row["metadata"]["codec"] == "pcm"
        assert caller.resume_token not in json.dumps(answer)
        await served.kernel.conversations[caller.id].close()
        await caller.until_closed()
        status, row = await get(served, f"/api/conversations/{caller.id}")
        assert (status, row["status"], row["reason"]) == (200, "closed", "closed")
        status, answer = await get(served, f"/api/conversations/{caller.id}/transcript")
        assert status == 200
        assert [word["text"] for word in answer["transcript"]]
        assert "".join(word["text"] for word in answer["transcript"]).replace(" ", "") == "".join(caller.text.split())
        assert (await get(served, "/api/conversations/nothing"))[0] == 404
        assert (await get(served, "/api/conversations/nothing/transcript"))[0] == 404
        assert (await get(served, "/api/conversations?limit=0"))[1] == {"conversations": []}
        assert (await get(served, "/api/conversations?limit=x"))[0] == 400


async def test_metrics_follow_the_conventions(serve: Any, calling: Any, voice: Any) -> None:
    async with serve() as served, calling(served, "codec=opus") as caller:
        await caller.send(voice(1, 5))
        await caller.hear(4)
        status, page = await get(served, "/metrics")
        assert status == 200
        families = {family.name: family for family in text_string_to_metric_families(page)}
        for family in families.values():
            assert family.documentation, family.name
            assert family.name.startswith(("coda_", "process_"))
        values = {(sample.name, *sorted(sample.labels.items())): sample.value for sample in _samples(families)}
        assert values["coda_conversations", ("status", "live")] == 1
        assert values["coda_conversations_capacity",] == 4
        assert values["coda_frames_total",] == 5
        assert values["coda_websocket_connections", ("endpoint", "chat")] == 1
        assert values["coda_websocket_conversations_total", ("how", "opened")] == 1
        assert values["coda_websocket_opus_seconds_count", ("direction", "encode")] >= 4
        assert values["coda_stage_seconds_count", ("stage", "step")] == 5


async def test_the_dashboards_queries_find_what_they_ask_for(serve: Any, calling: Any, voice: Any) -> None:
    async with serve() as served, calling(served, "codec=opus") as caller:
        await caller.send(voice(1, 5))
        await caller.hear(4)
        await get(served, "/api/chat")
        async with aiohttp.ClientSession() as session:
            await session.get(served.url + "/metrics", headers={"Origin": "https://evil.example"})
            refused = served.ws("/api/chat?codec=none")
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await session.ws_connect(refused)
        await caller.socket.send(b"")
        await caller.until_closed()
        _, page = await get(served, "/metrics")
    families = {family.name: family for family in text_string_to_metric_families(page)}
    known = {(sample.name, name, value) for sample in _samples(families) for name, value in sample.labels.items()}
    names = {sample.name for sample in _samples(families)}
    dashboard = json.loads((DOCS / "grafana-dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(queries) > 15
    for query in queries:
        selectors = re.findall(r"([a-z_]+)\{(.*?)\}", query)
        assert selectors, query
        for metric, labels in selectors:
            assert metric in names, query
            for name, value in re.findall(r'(\w+)="([^"]*)"', labels):
                assert (metric, name, value) in known, query
        for grouped in re.findall(r"by \((\w+)\)", query):
            assert grouped == "le" or any(name == grouped for metric, name, _ in known if metric == selectors[0][0]), (
                query
            )


def _samples(families: dict[str, Any]) -> list[Any]:
    return [sample for family in families.values() for sample in family.samples]
