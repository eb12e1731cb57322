"""What this plugin offers: the processors `moshi` and `echo`, and the extractor `inner-monologue`.

Light: torch, numpy and what is built on them are imported when a component is built.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

from coda_core.hookspecs import hookimpl
from coda_core.interfaces import Component, Context, Processor, Requires
from coda_core.memory import MemoryPlan
from coda_moshi.config import EchoConfig, InnerMonologueConfig, MoshiConfig

if TYPE_CHECKING:
    from coda_moshi.inner_monologue import InnerMonologue

CODA_CONTRACT: Final = 1


def _open_moshi(config: MoshiConfig, context: Context) -> AbstractContextManager[Processor]:
    from coda_moshi.lifecycle import open_moshi

    return open_moshi(config, context)


def _plan_moshi(config: MoshiConfig, context: Context) -> MemoryPlan:
    from coda_moshi.planning import plan_moshi

    return plan_moshi(config, context)


def _open_echo(config: EchoConfig, context: Context) -> AbstractContextManager[Processor]:
    from coda_moshi.echo import open_echo

    return open_echo(config, context)


def _open_inner_monologue(
    config: InnerMonologueConfig, context: Context
) -> AbstractAsyncContextManager[InnerMonologue]:
    from coda_moshi.inner_monologue import open_inner_monologue

    return open_inner_monologue(config, context)


@hookimpl
def coda_register_processors() -> Sequence[Component[Any]]:
    return (
        Component(
            name="moshi",
            summary="Kyutai's Moshi, many conversations on one model; 'demo' is a small one that comes with Coda.",
            config=MoshiConfig,
            factory=_open_moshi,
            requires=Requires(("moshi", "torch", "sentencepiece"), "coda-core[moshi]"),
            worker="moshi",
            plan=_plan_moshi,
        ),
        Component(
            name="echo",
            summary="Returns the caller after a set delay; needs no model.",
            config=EchoConfig,
            factory=_open_echo,
        ),
    )


@hookimpl
def coda_register_monologue_extractors() -> Sequence[Component[Any]]:
    return (
        Component(
            name="inner-monologue",
            summary="Words and phrases of the model's own text stream, with times and confidence.",
            config=InnerMonologueConfig,
            factory=_open_inner_monologue,
        ),
    )
