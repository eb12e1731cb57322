"""Thousands of broken peers, while healthy ones talk and notice nothing."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from coda_core import ExtractedText, Stack
from coda_moshi.config import MoshiConfig
from coda_streaming.config import OfflineConfig
from coda_websocket.opus_process import ANSWER, DECODE, ENCODE, Coder
from coda_websocket.orders import COMMANDS, BadOrder, read_order
from coda_websocket.protocol import Kind, Malformed, parse_message
from tests.coda_websocket import attacks as attacking
from tests.coda_websocket.attacks import broken, opus_stream

FRAME = 1_920
HEALTHY = 10
FRAMES = 12


@given(st.binary(max_size=200))
def test_a_message_is_of_a_known_kind_or_discarded_or_malformed(data: bytes) -> None:
    try:
        message = parse_message(data)
    except Malformed:
        assert data == b"" or data[0] == Kind.CONTROL
    else:
        assert (message is None) == (data[0] > Kind.PING)


_fields = st.sampled_from(["command", "id", "text", "deadline_s", "expires_s", "yields", "for_s"]) | st.text(max_size=5)
_values = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from(sorted(COMMANDS))
)


@given(_values | st.lists(_values, max_size=3) | st.dictionaries(_fields, _values, max_size=5))
def test_a_command_is_read_or_refused(value: Any) -> None:
    try:
        order = read_order(json.dumps(value))
    except BadOrder:
        assert isinstance(value, dict)
    except ValueError:
        assert not isinstance(value, dict) or any(_odd(each) for each in value.values())
    else:
        assert value["command"] == order.command in COMMANDS


@given(st.text(max_size=300))
def test_text_that_is_no_command_is_a_value_error(text: str) -> None:
    with suppress(ValueError):
        read_order(text)


def test_thousands_of_broken_streams_leave_a_coder_whole() -> None:
    """In this very process: what would kill it would end the test."""
    good = opus_stream(6)
    rng = random.Random(0)
    coder = Coder()
    refused = 0
    for number in range(3_000):
        data = broken(good, rng)
        cut = rng.randrange(1, 400)
        for start in range(0, len(data), cut):
            well, answer = coder.answer(number, DECODE, data[start : start + cut])
            if not well:
                refused += 1
                assert answer.decode()
                break
        coder.forget(number)
    assert refused > 1_000
    well, coded = coder.answer(9_999, ENCODE, np.zeros(FRAME, np.float32).tobytes())
    assert well
    assert coded.startswith(b"OggS")
    assert ANSWER.pack(len(coded), well)


async def test_broken_peers_disturb_nobody(serve: Any, calling: Any, voice: Any, caplog: Any) -> None:
    """Thousands of cases, spread over ten healthy callers' conversations, whose tokens equal those of a quiet run."""
    stack = Stack(
        processor=MoshiConfig(model_path="tiny", conversations=HEALTHY + 6), streaming_manager=OfflineConfig()
    )
    limits = {"max_message_bytes": 4096, "grace_s": 0.0}
    async with serve(stack, send_buffer_frames=1_000, **limits) as served:
        attacks = Progress()

        async def healthy(seed: int) -> list[tuple[int, ...]]:
            async with calling(served, f"codec=pcm&seed={seed}") as caller:
                conversation = served.kernel.conversations[caller.id]
                attacks.victims.append((caller.id, caller.resume_token))
                output = conversation.subscribe(ExtractedText)
                pcm = voice(seed, FRAMES)
                for frame in range(FRAMES):
                    await attacks.got_to(frame / FRAMES)
                    await caller.send(pcm[frame * FRAME : (frame + 1) * FRAME])
                    await caller.hear(frame)
                await caller.hear(FRAMES - 1)
                await conversation.close()
                assert (await caller.until_closed())[0] == 1000
                return [word.tokens async for word in output]

        attacks.share = 1.0
        quiet = await asyncio.gather(*(healthy(seed) for seed in range(HEALTHY)))
        attacks.share, attacks.victims = 0.0, []
        talking = asyncio.gather(*(healthy(seed) for seed in range(HEALTHY)))
        await until_all(attacks.victims)
        answered = await asyncio.gather(
            *(_converse(served, attacks, number) for number in range(6)),
            *(_knock(served, attacks, number) for number in range(4)),
            *(_command(served, attacks, number) for number in range(3)),
        )
        assert sum(answered) > 2_000
        attacks.share = 1.0
        assert await talking == quiet
        assert all(quiet)
        assert attacks.codes >= {1000, 1003, 1007, 1008, 1009}
    assert not served.kernel.conversations
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


class Progress:
    """How far the attacks are; healthy callers go no further than they."""

    CASES = 6 * 24 + 4 * 275 + 3 * 400

    def __init__(self) -> None:
        self.share = 0.0
        self.victims: list[tuple[str, str]] = []
        self.codes: set[int] = set()
        self._done = 0

    def done(self, cases: int = 1) -> None:
        self._done += cases
        self.share = self._done / self.CASES

    async def got_to(self, share: float) -> None:
        while self.share < share:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def until_all(victims: list[tuple[str, str]]) -> None:
    while len(victims) < HEALTHY:  # noqa: ASYNC110
        await asyncio.sleep(0.005)


async def _converse(served: Any, attacks: Progress, number: int) -> int:
    cases = 0
    for expected, messages in attacking.conversations(random.Random(number), 24):
        code = await attacking.converse(served, messages, 1000 not in expected)
        assert code in expected | {1013}, (code, messages[0][:20])
        attacks.codes.add(code)
        attacks.done()
        cases += 1
    return cases


async def _knock(served: Any, attacks: Progress, number: int) -> int:
    rng = random.Random(number)
    for data in attacking.requests(rng, 250):
        answer = await attacking.knock(served.url, data)
        assert not answer or answer.startswith(b"HTTP/1.1 "), (data, answer)
        assert b"500 Internal" not in answer, (data, answer)
        attacks.done()
    for data in attacking.frames(rng, 25):
        answer = await attacking.knock(served.url, data, upgraded=True)
        assert answer.startswith((b"HTTP/1.1 101", b"HTTP/1.1 503")), (data, answer)
        attacks.done()
    return 275


async def _command(served: Any, attacks: Progress, number: int) -> int:
    id, token = attacks.victims[number]

    def counted() -> Iterator[str]:
        for order in attacking.orders(random.Random(number), 400):
            attacks.done()
            yield order

    return await attacking.command(served, id, token, counted())


def _odd(value: Any) -> bool:
    return isinstance(value, float) and (value != value or value in (float("inf"), float("-inf")))
