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
    """Settings of the audio source `example`."""

    frequency_hz: float = setting(440.0, minimum=20, maximum=20_000, help="pitch of a beep, in Hz")
    beep_s: float = setting(0.5, minimum=0.01, maximum=60, help="how long a beep lasts, in seconds")
    pause_s: float = setting(0.5, minimum=0, maximum=60, help="how long the pause after a beep lasts, in seconds")
    level_dbfs: float = setting(-12.0, minimum=-120, maximum=0, help="level of a beep's peak, in dBFS")
    duration_s: float = setting(4.0, minimum=0, help="how long all of it lasts, in seconds")


def _open(config: ExampleConfig, context: Context) -> AbstractAsyncContextManager[Any]:
    from coda_example.example import open_example

    return open_example(config, context)


@hookimpl
def coda_register_audio_sources() -> Sequence[Component[Any]]:
    return [
        Component(
            name="example",
            summary="SUMMARY",
            config=ExampleConfig,
            factory=_open,
        )
    ]
