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
    """Settings of the monologue extractor `example`."""

    words: tuple[str, ...] = setting((), help="words to report; none reports every word")
    retention_seconds: float = setting(300.0, minimum=0, help="how long a reported word is kept, in seconds")


def _open(config: ExampleConfig, context: Context) -> AbstractAsyncContextManager[Any]:
    from coda_example.example import open_example

    return open_example(config, context)


@hookimpl
def coda_register_monologue_extractors() -> Sequence[Component[Any]]:
    return [
        Component(
            name="example",
            summary="SUMMARY",
            config=ExampleConfig,
            factory=_open,
        )
    ]
