"""What coda-example brings.

Light, as every `coda` command imports it: what is heavy is imported in the factory.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import attrs
from coda_core import Component, Context, hookimpl, setting

CODA_CONTRACT = 1


@attrs.frozen
class ExampleConfig:
    """Settings of the processor `example`."""

    conversations: int = setting(4, minimum=1, maximum=1024, help="how many conversations it serves at once")
    memory_s: float = setting(10.0, minimum=1, maximum=600, help="seconds of the caller's speech that it remembers")


def _open(config: ExampleConfig, context: Context) -> AbstractContextManager[Any]:
    from coda_example.example import open_example

    return open_example(config, context)


@hookimpl
def coda_register_processors() -> Sequence[Component[Any]]:
    return [
        Component(
            name="example",
            summary="SUMMARY",
            config=ExampleConfig,
            factory=_open,
        )
    ]
