from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
from coda_core import FRAME_SAMPLES, Kernel
from coda_core.state import PhaseChanged
from coda_core.testing.conformance import StateManagerConformance

from coda_example.register import ExampleConfig, coda_register_state_managers


class TestContract(StateManagerConformance):
    component = coda_register_state_managers()[0]


def test_phases_are_events_of_their_conversation(coda_kernel: Callable[..., Kernel]) -> None:
    """`coda_kernel` is a fixture that comes with Coda: its processor says back what it hears."""
    speech = np.random.default_rng(1).uniform(-0.5, 0.5, 10 * FRAME_SAMPLES).astype(np.float32)

    async def talk() -> list[str]:
        manager = ExampleConfig(waiting_after_ms=400)
        async with coda_kernel(state_manager=manager) as kernel, kernel.open_conversation() as conversation:
            phases = conversation.subscribe(PhaseChanged)
            await conversation.send(speech)
            await conversation.send(np.zeros(20 * FRAME_SAMPLES, np.float32))
            await conversation.drain()
            await conversation.close()
            return [change.phase async for change in phases]

    phases = asyncio.run(talk())
    assert phases[-2:] == ["waiting", "ended"]
    assert "responding" in phases
