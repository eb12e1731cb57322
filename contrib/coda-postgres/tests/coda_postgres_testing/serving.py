"""A server of Coda's in a process of its own. It answers every line on standard input with one of JSON.

Lines: ``open``, ``say ID``, ``park ID``, ``resume ID TOKEN``, ``stop``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import numpy as np
from coda_core import CodaError, Conversation, Kernel, Stack, load_plugins
from coda_core.testing import plugin
from coda_core.testing.plugin import ScriptedConfig

from coda_postgres.config import PostgresStoreConfig

_SPOKEN: Final = np.zeros(1_920 * 5, np.float32)


def stack_of(config: PostgresStoreConfig, folder: Path) -> Kernel:
    """Return a kernel with a processor that needs no model, as fast as it can."""
    registry = load_plugins(modules=[("coda-testing", plugin)])
    stack = Stack(
        base_dir=folder,
        processor=ScriptedConfig(),
        streaming_manager=registry.get("streaming_manager", "offline").component.config(),
        state_store=config,
    )
    return Kernel(stack, registry=registry, cache_dir=folder / "cache")


async def serve(config: PostgresStoreConfig, folder: Path) -> None:
    """Do what the lines say until ``stop``."""
    async with stack_of(config, folder) as kernel, AsyncExitStack() as exits:
        held: dict[str, Conversation] = {}
        _tell(ready=True)
        while (line := (await asyncio.to_thread(sys.stdin.readline)).split()) and line[0] != "stop":
            verb, *given = line
            try:
                if verb == "open":
                    conversation = await exits.enter_async_context(kernel.open_conversation(user_id="ada", seed=1))
                elif verb == "resume":
                    conversation = await kernel.resume(given[0], token=given[1])
                else:
                    conversation = held[given[0]]
                held[conversation.id] = conversation
                if verb == "park":
                    await conversation.park()
                else:
                    await conversation.send(_SPOKEN)
                    await conversation.drain()
                _tell(id=conversation.id, token=conversation.resume_token, frames=conversation.frames)
            except CodaError as error:
                _tell(error=type(error).__name__)


def _tell(**what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(PostgresStoreConfig(url=sys.argv[1], lease_seconds=float(sys.argv[2])), Path(sys.argv[3])))
