from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from coda_core import FRAME_SAMPLES, Kernel
from coda_core.testing.conformance import StateStoreConformance

from coda_example.register import ExampleConfig, coda_register_state_stores


class TestContract(StateStoreConformance):
    component = coda_register_state_stores()[0]
    kills = 3

    def config(self, folder: Path) -> Any:
        return ExampleConfig(path=folder / "conversations")


def test_every_event_is_a_line_of_json(coda_kernel: Callable[..., Kernel], tmp_path: Path) -> None:
    """`coda_kernel` is a fixture that comes with Coda: a kernel around a processor without a model."""

    async def talk() -> None:
        store = ExampleConfig(path=tmp_path / "kept")
        async with coda_kernel(state_store=store) as kernel, kernel.open_conversation(user_id="ada") as conversation:
            await conversation.send(np.zeros(4 * FRAME_SAMPLES, np.float32))
            await conversation.drain()

    asyncio.run(talk())
    lines = (tmp_path / "kept" / "events.jsonl").read_text().splitlines()
    assert '"type": "opened"' in lines[0]
    assert '"user_id": "ada"' in lines[0]
    assert any('"type": "closed"' in line for line in lines)
