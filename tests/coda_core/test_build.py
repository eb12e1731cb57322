"""The processor and its fallback, in a running kernel."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType
from typing import Any

import attrs
import pytest

from coda_core.config import Stack
from coda_core.errors import CodaError, MissingExtra, ModelError, OutOfMemory, PluginError
from coda_core.events import Opened
from coda_core.hookspecs import hookimpl
from coda_core.interfaces import Component, Processor, Requires
from coda_core.kernel import Kernel
from coda_core.plugins import Registry, load_plugins
from coda_core.testing import ScriptedProcessor
from coda_state.config import MemoryStoreConfig
from coda_streaming.config import OfflineConfig


@attrs.frozen
class BigConfig:
    pass


@attrs.frozen
class SmallConfig:
    pass


Loader = Callable[[], AbstractContextManager[Processor]]


def loads(left: list[str], name: str) -> Loader:
    @contextmanager
    def load() -> Iterator[Processor]:
        yield ScriptedProcessor(slots=3)
        left.append(name)

    return load


def fails(error: Exception) -> Loader:
    @contextmanager
    def load() -> Iterator[Processor]:
        raise error
        yield

    return load


def registry_of(big: Loader, small: Loader, **of_big: Any) -> Registry:
    plugin = ModuleType("fakes")

    @hookimpl
    def coda_register_processors() -> Sequence[Component[Any]]:
        return [
            Component("big", "May not fit.", BigConfig, lambda config, context: big(), **of_big),
            Component("small", "Fits anywhere.", SmallConfig, lambda config, context: small()),
        ]

    vars(plugin).update(CODA_CONTRACT=1, coda_register_processors=coda_register_processors)
    return load_plugins(modules=[("fakes", plugin)])


def stack(**parts: Any) -> Stack:
    return Stack(processor=BigConfig(), streaming_manager=OfflineConfig(), state_store=MemoryStoreConfig(), **parts)


async def opened_with(kernel: Kernel) -> str:
    """Open a conversation and return which processor its first event names."""
    events = kernel.subscribe(Opened)
    async with kernel.open_conversation():
        return (await anext(events)).processor


@pytest.mark.parametrize(
    "error",
    [
        ModelError("no such checkpoint:\n  model.safetensors"),
        OutOfMemory("it needs 16 GB"),
        MissingExtra("the package torch is not installed"),
    ],
)
async def test_a_processor_that_fails_to_load_is_replaced(error: CodaError, caplog: pytest.LogCaptureFixture) -> None:
    left: list[str] = []
    registry = registry_of(fails(error), loads(left, "small"))
    async with Kernel(stack(fallback=SmallConfig()), registry=registry) as kernel:
        assert kernel.processor.label == "small"
        assert await opened_with(kernel) == "small"
        assert left == []
    assert left == ["small"]
    (record,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
    reason = " ".join(str(error).split())
    assert record.getMessage() == (
        f'the processor "big" could not be loaded, and its fallback "small" takes its place: {reason}'
    )


async def test_the_fallback_has_the_memory_of_what_failed() -> None:
    held: list[weakref.ref[ScriptedProcessor]] = []

    @contextmanager
    def big() -> Iterator[Processor]:
        weights = ScriptedProcessor()
        held.append(weakref.ref(weights))
        raise OutOfMemory("it needs 16 GB")
        yield weights

    @contextmanager
    def small() -> Iterator[Processor]:
        assert held[0]() is None
        yield ScriptedProcessor()

    async with Kernel(stack(fallback=SmallConfig()), registry=registry_of(big, small)) as kernel:
        assert kernel.processor.label == "small"


async def test_a_processor_that_loads_is_not_replaced(caplog: pytest.LogCaptureFixture) -> None:
    left: list[str] = []
    registry = registry_of(loads(left, "big"), fails(ModelError("never asked")))
    async with Kernel(stack(fallback=SmallConfig()), registry=registry) as kernel:
        assert kernel.processor.label == "big"
        assert await opened_with(kernel) == "big"
    assert left == ["big"]
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


async def test_packages_that_are_missing_bring_the_fallback(caplog: pytest.LogCaptureFixture) -> None:
    left: list[str] = []
    requires = Requires(("nobody_has_this",), "coda-big[all]")
    registry = registry_of(loads(left, "big"), loads(left, "small"), requires=requires)
    async with Kernel(stack(fallback=SmallConfig()), registry=registry) as kernel:
        assert await opened_with(kernel) == "small"
    assert left == ["small"]
    assert "Run: pip install 'coda-big[all]'" in caplog.text


@pytest.mark.parametrize(
    ("big", "small", "raised", "message"),
    [
        (fails(ModelError("no room")), fails(ModelError("none either")), ModelError, "none either"),
        (fails(RuntimeError("a defect")), loads([], "small"), PluginError, 'the processor "big" of plugin'),
    ],
    ids=["both fail", "a defect is no failure to load"],
)
async def test_what_a_fallback_does_not_hide(big: Loader, small: Loader, raised: type[CodaError], message: str) -> None:
    with pytest.raises(raised, match=message):
        async with Kernel(stack(fallback=SmallConfig()), registry=registry_of(big, small)):
            pass


async def test_without_a_fallback_the_failure_is_the_kernels() -> None:
    registry = registry_of(fails(OutOfMemory("it needs 16 GB")), loads([], "small"))
    with pytest.raises(OutOfMemory, match="16 GB"):
        async with Kernel(stack(), registry=registry):
            pass


async def test_a_failure_later_on_is_no_failure_to_load() -> None:
    left: list[str] = []
    with pytest.raises(ModelError, match="by the way"):
        async with Kernel(
            stack(fallback=SmallConfig()), registry=registry_of(loads(left, "big"), loads(left, "small"))
        ):
            raise ModelError("by the way")
    assert left == ["big"]


@pytest.mark.parametrize(("worker", "found"), [("gpu", "gpu"), (None, None)])
async def test_the_fallback_runs_on_the_thread_that_either_needs(worker: str | None, found: str | None) -> None:
    registry = registry_of(fails(ModelError("no room")), loads([], "small"), worker=worker)
    async with Kernel(stack(fallback=SmallConfig()), registry=registry) as kernel:
        assert kernel._wiring().worker == found
