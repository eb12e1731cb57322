"""The stack of a demo."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import attrs

from coda_core.cli.component_config import component_config
from coda_core.cli.demo.caller import Caller
from coda_core.cli.demo.files import DemoFiles
from coda_core.cli.demo.saying import time_to_say
from coda_core.config import Stack, read_stack
from coda_core.interfaces import Kind, Progress
from coda_core.kernel import Kernel
from coda_core.plugins import load_plugins

__all__ = ["demo_kernel"]

_SOURCE: Final = "coda demo"
_SEED: Final = 1


def demo_kernel(
    caller: Caller, say: str | None, files: DemoFiles, stack_path: Path | None, progress: Progress
) -> Kernel:
    """Return a kernel, not yet running, that answers `caller` into `files`.

    What takes part beside them is `stack_path`'s, or the checkpoint ``demo`` and the defaults. Where a stack does
    not ask for real time, the model goes as fast as it can. With `say` there is room for that text at the end.
    Raises `ConfigError`.
    """
    if stack_path is not None:
        stack, registry = read_stack(stack_path)
    else:
        stack, registry = Stack(name="demo", source=_SOURCE), load_plugins()

    def config(kind: Kind, name: str, **settings: Any) -> Any:
        return component_config(registry, kind, name, source=_SOURCE, **settings)

    if stack_path is None:
        stack = attrs.evolve(stack, processor=config("processor", "moshi", model_path="demo", seed=_SEED))
    if stack.state_manager is None:
        # So that it can be run again.
        stack = attrs.evolve(stack, state_manager=config("state_manager", "conversation", record_audio=True))
    manager = stack.streaming_manager
    stack = attrs.evolve(
        stack,
        audio_source=config(
            "audio_source",
            "file",
            path=caller.path.absolute(),
            trailing_silence_s=0.0 if say is None else time_to_say(say),
        ),
        streaming_manager=manager if manager is not None else config("streaming_manager", "offline"),
        state_store=config("state_store", "sqlite", path=files.database.absolute()),
        transport=(
            config("transport", "file", path=files.reply.absolute(), stereo_path=files.conversation.absolute()),
        ),
    )
    return Kernel(stack, registry=registry, progress=progress)
