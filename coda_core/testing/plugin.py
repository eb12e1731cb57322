"""A plugin for tests: a stack that needs no model. Registered nowhere; hand it to `coda_core.plugins.load_plugins`.

registry = load_plugins(modules=[("testing", coda_core.testing.plugin)])
kernel = Kernel(Stack(processor=ScriptedConfig()), registry=registry)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import attrs

from coda_core.hookspecs import hookimpl
from coda_core.interfaces import Component, Context
from coda_core.settings import setting
from coda_core.testing.processor import ScriptedProcessor

__all__ = ["ScriptedConfig"]

CODA_CONTRACT: Final = 1


@attrs.frozen
class ScriptedConfig:
    """Settings of the processor `scripted`."""

    conversations: int = setting(4, help="how many it serves at once", minimum=1)
    script: tuple[int, ...] = setting(
        (1, 3, 2, 3), help="text tokens, over and over: 1 is 'hello', 2 'world', 4 '!', 3 padding, 0 its end"
    )


@contextmanager
def _scripted(config: ScriptedConfig, _context: Context) -> Iterator[ScriptedProcessor]:
    yield ScriptedProcessor(config.conversations, script=config.script)


@hookimpl
def coda_register_processors() -> list[Component[ScriptedConfig]]:
    return [Component("scripted", "Answers by a script, without a model.", ScriptedConfig, _scripted)]
