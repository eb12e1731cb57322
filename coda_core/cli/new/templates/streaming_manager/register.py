"""What coda-example brings.

Light, as every `coda` command imports it: what is heavy is imported in the factory.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import attrs
from coda_core import Component, Context, hookimpl, setting

CODA_CONTRACT = 1


@attrs.frozen
class ExampleConfig:
    """Settings of the streaming manager `example`."""

    buffer_frames: int = setting(
        100, minimum=1, maximum=100_000, help="frames of a conversation that may wait before its sender does"
    )
    follower_steps: int = setting(
        100, minimum=1, maximum=100_000, help="steps that may wait for a follower before the model does"
    )
    speech_threshold_dbfs: float = setting(
        -45.0, minimum=-120, maximum=0, help="level in dBFS above which a frame counts as speech"
    )


def _open(config: ExampleConfig, context: Context) -> AbstractAsyncContextManager[Any]:
    from coda_example.example import open_example

    return open_example(config, context)


@hookimpl
def coda_register_streaming_managers() -> Sequence[Component[Any]]:
    return [
        Component(
            name="example",
            summary="SUMMARY",
            config=ExampleConfig,
            factory=_open,
        )
    ]
