"""Each check of a suite fails for a component that is broken in just that way: the suites find what they look for."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest

from coda_core.interfaces import Component, Context
from coda_core.settings import setting
from coda_core.testing import ScriptedProcessor
from coda_core.testing.conformance import (
    AudioSourceConformance,
    Conformance,
    MonologueExtractorConformance,
    ProcessorConformance,
    StateManagerConformance,
    StreamingManagerConformance,
    TransportConformance,
)
from coda_state.config import ConversationManagerConfig
from coda_streaming.config import OfflineConfig
from coda_streaming.policy import Policy
from tests.conformance import (
    broken_ends,
    broken_extractors,
    broken_processors,
    broken_state_managers,
    broken_streaming_managers,
)

Make = Callable[[Any, Context], Any]


@attrs.frozen
class PlainConfig:
    how: str = setting("", help="nothing depends on it")


def component(make: Make, *, plain: bool = False, **other: Any) -> Component[Any]:
    """Return a component around what `make` makes; `plain` where its factory is no async context manager."""

    @asynccontextmanager
    async def opened(config: Any, context: Context) -> Any:
        yield make(config, context)

    @contextmanager
    def held(config: Any, context: Context) -> Iterator[Any]:
        yield make(config, context)

    known = {"name": "broken", "summary": "It is broken.", "config": PlainConfig, "factory": held if plain else opened}
    return Component(**{**known, **other})


def streaming(broken: type, check: str) -> Component[Any]:
    config = broken_streaming_managers.CONFIGS.get(check, OfflineConfig())
    return component(lambda _, context: broken(Policy.of(config), context))


CASES: list[tuple[type[Conformance], str, Component[Any]]] = [
    *(
        (ProcessorConformance, check, component(lambda _config, _context, broken=broken: broken(3), plain=True))  # type: ignore[misc]
        for check, broken in broken_processors.BROKEN.items()
    ),
    *(
        (suite, check, component(lambda _config, _context, broken=broken: broken()))  # type: ignore[misc]
        for suite, all_broken in (
            (AudioSourceConformance, broken_ends.BROKEN_SOURCES),
            (TransportConformance, broken_ends.BROKEN_TRANSPORTS),
            (MonologueExtractorConformance, broken_extractors.BROKEN),
        )
        for check, broken in all_broken.items()
    ),
    *(
        (
            StateManagerConformance,
            check,
            component(
                lambda _, context, broken=broken: broken(context.store, ConversationManagerConfig(), context.clock)  # type: ignore[misc]
            ),
        )
        for check, broken in broken_state_managers.BROKEN.items()
    ),
    *(
        (StreamingManagerConformance, check, streaming(broken, check))
        for check, broken in broken_streaming_managers.BROKEN.items()
    ),
]


def run(suite: type[Conformance], check: str, broken: Component[Any], folder: Path, *, patience: float = 2.0) -> None:
    """Run one check on a component, as pytest would."""

    class Suite(suite):  # type: ignore[misc,valid-type]
        component: ClassVar = broken
        patience_s: ClassVar = patience

    tested = Suite()
    method = getattr(tested, check)
    with ExitStack() as exits:
        wanted: dict[str, Any] = {}
        for name in inspect.signature(method).parameters:
            wanted[name] = folder if name == "tmp_path" else exits.enter_context(tested.entered_here(folder))
        method(**wanted)


@pytest.mark.parametrize(
    ("suite", "check", "broken"), CASES, ids=[f"{suite.__name__}-{check}" for suite, check, _ in CASES]
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_broken_component_is_found_out(
    suite: type[Conformance], check: str, broken: Component[Any], tmp_path: Path
) -> None:
    with pytest.raises((Exception, pytest.fail.Exception)):
        run(suite, check, broken, tmp_path)


UNBROKEN = [
    (ProcessorConformance, component(lambda _config, _context: ScriptedProcessor(3), plain=True)),
    (AudioSourceConformance, component(lambda _config, _context: broken_ends.Beeper())),
    (TransportConformance, component(lambda _config, _context: broken_ends.Listener())),
    (MonologueExtractorConformance, component(lambda _config, _context: broken_extractors.Pieces())),
]


@pytest.mark.parametrize(("suite", "whole"), UNBROKEN, ids=[suite.__name__ for suite, _ in UNBROKEN])
def test_what_they_were_before_they_were_broken_passes(
    suite: type[Conformance], whole: Component[Any], tmp_path: Path
) -> None:
    """Else a check might fail for another reason. Of managers the default ones pass, which these are made of."""
    for check in checks_of(suite):
        folder = tmp_path / check
        folder.mkdir()
        run(suite, check, whole, folder, patience=30.0)


def checks_of(suite: type) -> set[str]:
    return {name for name in dir(suite) if name.startswith("test_")}


def test_every_check_is_shown_to_fail() -> None:
    shown: dict[type, set[str]] = {}
    for suite, check, _ in CASES:
        shown.setdefault(suite, set()).add(check)
    for suite, checks in shown.items():
        assert checks == checks_of(suite) - checks_of(Conformance), suite.__name__


# Checks of every kind


def test_a_component_without_a_summary_is_found_out(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        run(Conformance, "test_is_described", component(lambda _, __: None, summary="one line\nand more"), tmp_path)


def test_settings_that_cannot_be_shown_are_found_out(tmp_path: Path) -> None:
    @attrs.frozen
    class Odd:
        how: object = setting(object(), help="an object of no type that a setting may have")

    odd = component(lambda _, __: None, config=Odd)
    with pytest.raises((AssertionError, TypeError, ValueError, AttributeError)):
        run(Conformance, "test_settings_can_be_shown", odd, tmp_path)


def test_a_thread_that_is_left_is_found_out(tmp_path: Path) -> None:
    gate = threading.Event()

    def make(_config: Any, _context: Context) -> None:
        threading.Thread(target=gate.wait).start()

    try:
        with pytest.raises(AssertionError, match="end the threads that it started"):
            run(Conformance, "test_leaves_no_thread_behind", component(make), tmp_path)
    finally:
        gate.set()
