"""The pytest plugin `coda`: fixtures for the tests of plugins. It is there wherever coda-core is installed.

Light, as every run of pytest imports it: what a fixture needs is imported when a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from coda_core.clock import Clock
    from coda_core.interfaces import Kind
    from coda_core.kernel import Kernel
    from coda_core.plugins import Registry
    from coda_core.testing.clock import ManualClock
    from coda_core.testing.processor import ScriptedProcessor
    from coda_core.testing.recording import Recorded

__all__ = [
    "coda_clock",
    "coda_config",
    "coda_kernel",
    "coda_processor",
    "coda_recording",
    "coda_registry",
    "coda_tiny",
]


@pytest.fixture
def coda_clock() -> ManualClock:
    """A clock whose time stands still until a test calls ``advance``; give it to `coda_kernel`."""
    from coda_core.testing.clock import ManualClock

    return ManualClock()


@pytest.fixture
def coda_processor() -> ScriptedProcessor:
    """The processor without a model that `coda_kernel` talks to, to be told what to do and asked what it was given."""
    from coda_core.testing.processor import ScriptedProcessor

    return ScriptedProcessor()


@pytest.fixture(scope="session")
def coda_registry() -> Registry:
    """Every plugin that is installed here."""
    from coda_core.plugins import load_plugins

    return load_plugins()


@pytest.fixture
def coda_config(coda_registry: Registry) -> Callable[..., Any]:
    """Makes the config of a component that is installed: ``coda_config("state_store", "sqlite", path=...)``."""

    def make(kind: Kind, name: str, **settings: Any) -> Any:
        return coda_registry.get(kind, name).component.config(**settings)

    return make


@pytest.fixture
def coda_kernel(
    coda_config: Callable[..., Any], coda_processor: ScriptedProcessor, tmp_path: Path
) -> Callable[..., Kernel]:
    """Makes a kernel, to be entered with ``async with``: ``coda_kernel(transport=[MyConfig()])``.

    What is given are parts of a `coda_core.Stack`, and ``clock``, and ``modules``: plugins that are not installed, as
    ``load_plugins`` takes them. Without a part of their own, conversations are answered by `coda_processor`, as fast
    as it goes, and stored in memory. Relative paths are taken from ``tmp_path``.
    """
    from coda_core.config import Stack
    from coda_core.kernel import Kernel
    from coda_core.plugins import load_plugins
    from coda_core.testing.scripted import plugin_around

    def make(
        *, clock: Clock | None = None, modules: list[tuple[str, ModuleType]] | None = None, **parts: Any
    ) -> Kernel:
        fakes, scripted = plugin_around(coda_processor)
        registry = load_plugins(modules=[("coda-fakes", fakes), *(modules or [])])
        chosen: dict[str, Any] = {"name": "test", "base_dir": tmp_path, "processor": scripted}
        if "streaming_manager" not in parts:
            chosen["streaming_manager"] = coda_config("streaming_manager", "offline")
        stack = Stack(**{**chosen, **parts})
        return Kernel(stack, registry=registry, clock=clock, cache_dir=tmp_path / "cache")

    return make


@pytest.fixture(scope="session")
def coda_recording(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Somebody speaking, recorded: as a WAV file, and as samples."""
    from coda_core.testing.recording import recorded

    return recorded(tmp_path_factory.mktemp("coda") / "caller.wav")


@pytest.fixture
def coda_tiny(coda_registry: Registry) -> Any:
    """The config of the processor `moshi` with a checkpoint of two megabytes, made on this machine when first used.

    It is the real model with random weights: ``coda_kernel(processor=coda_tiny)``. Needs ``coda-core[moshi]``, and
    skips where that is missing.
    """
    from coda_core.errors import MissingExtra
    from coda_core.plugins import require

    registered = coda_registry.get("processor", "moshi")
    try:
        require(registered)
    except MissingExtra as error:
        pytest.skip(str(error))
    return registered.component.config(model_path="tiny", device="cpu", conversations=2)
