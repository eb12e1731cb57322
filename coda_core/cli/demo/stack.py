"""The stack of a demo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from coda_core.cli.demo.files import DemoFiles
from coda_core.config import Stack, read_stack
from coda_core.errors import ConfigError, PluginError, Problem
from coda_core.interfaces import Kind, Progress
from coda_core.kernel import Kernel
from coda_core.plugins import Registry, load_plugins

__all__ = ["demo_kernel"]

_SOURCE = "coda demo"


def demo_kernel(recording: Path, files: DemoFiles, stack_path: Path | None, progress: Progress) -> Kernel:
    """Return a kernel, not yet running, that answers `recording` into `files`.

    What takes part beside them is `stack_path`'s, or the checkpoint ``tiny`` and the defaults. Where a stack does
    not ask for real time, the model goes as fast as it can. Raises `ConfigError`.
    """
    if stack_path is not None:
        stack, registry = read_stack(stack_path)
    else:
        registry = load_plugins()
        moshi = _config(registry, "processor", "moshi", model_path="tiny", seed=1)
        stack = Stack(name="demo", processor=moshi, source=_SOURCE)
    manager = stack.streaming_manager
    stack = attrs.evolve(
        stack,
        audio_source=_config(registry, "audio_source", "file", path=recording.absolute()),
        streaming_manager=manager if manager is not None else _config(registry, "streaming_manager", "offline"),
        state_store=_config(registry, "state_store", "sqlite", path=files.database.absolute()),
        transport=(
            _config(
                registry,
                "transport",
                "file",
                path=files.reply.absolute(),
                stereo_path=files.conversation.absolute(),
            ),
        ),
    )
    return Kernel(stack, registry=registry, progress=progress)


def _config(registry: Registry, kind: Kind, name: str, **settings: Any) -> object:
    try:
        config: object = registry.get(kind, name).component.config(**settings)
    except PluginError as error:
        raise ConfigError([Problem(kind, str(error))], _SOURCE) from None
    return config
