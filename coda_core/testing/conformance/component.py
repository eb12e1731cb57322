"""What all suites share: the component, its settings, its context, and checks that hold for every kind."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

import attrs
import pytest

from coda_core.clock import Clock, SystemClock
from coda_core.config.schema import settings_of
from coda_core.interfaces import Component, Context, StateStore
from coda_core.settings import describe

__all__ = ["PATIENCE_S", "Conformance"]

T = TypeVar("T")

PATIENCE_S: Final = 30.0
"""How long anything may take before it counts as hanging; machines that test are slow at times."""


class Conformance:
    """Base of the suites. A subclass sets `component` and, where it needs any, `settings`."""

    component: ClassVar[Component[Any]]
    """The component under test, as its hook returns it."""
    settings: ClassVar[Mapping[str, Any]] = {}
    """Arguments of its config class."""
    patience_s: ClassVar[float] = PATIENCE_S
    """How long anything may take before it counts as hanging."""

    def config(self, folder: Path) -> Any:
        """Return the config to build with. Override where it names files: `folder` is empty and the test's own."""
        del folder
        return self.component.config(**self.settings)

    # Checks of every kind

    def test_is_described(self) -> None:
        """A name for TOML, one line of summary, and a config whose every setting is explained."""
        component = self.component
        assert component.name == component.name.lower().strip(), "a name is lower case"
        assert not set(component.name) & set(" _"), "words of a name are joined by hyphens"
        assert component.summary.strip(), "say in one line what it is: `coda plugins` shows it"
        assert "\n" not in component.summary
        assert attrs.has(component.config), "the config is to be an attrs class made with coda_core.settings.setting"
        for field in attrs.fields(component.config):
            assert describe(field).help, f"the setting {field.name} has no help; make it with setting(..., help=)"

    def test_settings_can_be_shown(self, tmp_path: Path) -> None:
        """`coda check` prints every setting of a stack."""
        assert isinstance(settings_of(self.config(tmp_path)), dict)

    def test_leaves_no_thread_behind(self, tmp_path: Path) -> None:
        """What was entered is left: no thread of the component goes on, and it can be entered again."""
        before = set(threading.enumerate())
        for _ in range(2):
            self.run(self._enter_and_leave(tmp_path))
            left = [thread for thread in set(threading.enumerate()) - before if not _is_pool(thread)]
            assert left == [], "the factory's context manager is to end the threads that it started"

    async def _enter_and_leave(self, folder: Path) -> None:
        async with self.entered(folder):
            pass

    # For suites

    def context(self, folder: Path, *, clock: Clock | None = None, store: StateStore | None = None) -> Context:
        """Return what the component's factory is given."""
        return Context(
            base_dir=folder,
            cache_dir=folder / "cache",
            clock=clock if clock is not None else SystemClock(),
            logger=logging.getLogger(f"coda.conformance.{self.component.name}"),
            progress=lambda _what, _done, _total: None,
            store=store,
        )

    @asynccontextmanager
    async def entered(
        self, folder: Path, *, clock: Clock | None = None, store: StateStore | None = None
    ) -> AsyncIterator[Any]:
        """Build the component and yield it; left when the block ends."""
        made = self.component.factory(self.config(folder), self.context(folder, clock=clock, store=store))
        if isinstance(made, AbstractAsyncContextManager):
            async with made as component:
                yield component
        else:
            with made as component:
                yield component

    @contextmanager
    def entered_here(self, folder: Path) -> Iterator[Any]:
        """Build a component whose factory is a plain context manager, on this thread."""
        made = self.component.factory(self.config(folder), self.context(folder))
        assert not isinstance(made, AbstractAsyncContextManager), "a processor's factory is a plain context manager"
        with made as component:
            yield component

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` on an event loop of its own, to its end; fails where it hangs, or leaves tasks behind."""

        async def bounded() -> T:
            try:
                async with asyncio.timeout(self.patience_s):
                    result = await work
            except TimeoutError:
                pytest.fail(f"it did not end within {self.patience_s:g} s")
            this = asyncio.current_task()
            left = [task for task in asyncio.all_tasks() if task is not this and not task.done()]
            assert left == [], "tasks were started and never awaited or cancelled"
            return result

        return asyncio.run(bounded())

    @staticmethod
    def has_methods(component: object, *names: str) -> None:
        """Fail where one of the methods is missing; a plugin inherits nothing, so nothing else would say so."""
        for name in names:
            assert inspect.isroutine(getattr(component, name, None)), f"it has no method {name}"


def _is_pool(thread: threading.Thread) -> bool:
    # asyncio.to_thread keeps its threads until the loop's executor is shut down, and others' daemons are not ours.
    return thread.name.startswith("asyncio_") or thread.daemon
