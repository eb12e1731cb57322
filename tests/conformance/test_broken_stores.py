"""Each check of the suite of state stores fails for a store that is broken in just that way."""

from __future__ import annotations

import inspect
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import pytest

from coda_core.errors import StoreError
from coda_core.testing.conformance import Conformance, StateStoreConformance
from tests.conformance.broken_stores import (
    BROKEN_DURABLE,
    BROKEN_IN_MEMORY,
    LosesItAtTheEnd,
    NeverLetsGo,
    RoundsNames,
    component_of,
)

CASES = [*BROKEN_IN_MEMORY.items(), *BROKEN_DURABLE.items(), ("test_text_of_any_kind_comes_back", RoundsNames)]


def suite_of(broken: type) -> StateStoreConformance:
    class Suite(StateStoreConformance):
        component = component_of(broken)
        settings: ClassVar = {"how": broken.__name__}
        durable: ClassVar = broken is LosesItAtTheEnd or broken in BROKEN_DURABLE.values()
        kills: ClassVar = 4
        patience_s: ClassVar = 0.5 if broken is NeverLetsGo else 30.0

    return Suite()


def run(suite: StateStoreConformance, check: str, folder: Path) -> None:
    """Run one check of a suite as pytest would."""
    method = getattr(suite, check)
    wanted: dict[str, Any] = {}
    with ExitStack() as exits:
        for name in inspect.signature(method).parameters:
            if name == "tmp_path":
                wanted[name] = folder
            elif name == "store":
                wanted[name] = exits.enter_context(suite.opened(folder))
            else:
                assert name == "start"
                wanted[name] = exits.enter_context(suite.starting(folder))
        method(**wanted)


@pytest.mark.parametrize(("check", "broken"), CASES, ids=[broken.__name__ for _, broken in CASES])
def test_a_broken_store_is_found_out(check: str, broken: type, tmp_path: Path) -> None:
    with pytest.raises((AssertionError, StoreError, pytest.fail.Exception)):
        run(suite_of(broken), check, tmp_path)


def test_every_check_is_shown_to_fail() -> None:
    checks = {name for name in dir(StateStoreConformance) if name.startswith("test_")}
    of_every_kind = {name for name in dir(Conformance) if name.startswith("test_")}
    assert {check for check, _ in CASES} >= checks - of_every_kind
