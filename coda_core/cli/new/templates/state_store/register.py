"""What coda-example brings.

Light, as every `coda` command imports it: what is heavy is imported in the factory.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import attrs
from coda_core import Component, Context, hookimpl, setting

CODA_CONTRACT = 1


@attrs.frozen
class ExampleConfig:
    """Settings of the state store `example`."""

    path: Path = setting(Path("conversations"), help="the folder; made where it is missing")


def _open(config: ExampleConfig, context: Context) -> AbstractAsyncContextManager[Any]:
    from coda_example.example import open_example

    return open_example(config, context)


@hookimpl
def coda_register_state_stores() -> Sequence[Component[Any]]:
    return [
        Component(
            name="example",
            summary="SUMMARY",
            config=ExampleConfig,
            factory=_open,
        )
    ]
