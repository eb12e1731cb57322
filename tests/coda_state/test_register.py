"""What the plugin registers, and that listing it costs little."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import attrs
import pytest

from coda_core.interfaces import CONTRACT_VERSION, Component, Context
from coda_core.settings import describe
from coda_state import register
from coda_state.conversation import ConversationManager
from coda_state.memory import MemoryStore
from coda_state.sqlite import SqliteStore

COMPONENTS = [*register.coda_register_state_stores(), *register.coda_register_state_managers()]
Enter = Callable[[AbstractAsyncContextManager[Any]], Any]


def test_it_offers_two_stores_and_a_manager() -> None:
    assert [component.name for component in register.coda_register_state_stores()] == ["sqlite", "memory"]
    assert [component.name for component in register.coda_register_state_managers()] == ["conversation"]
    assert register.CODA_CONTRACT == CONTRACT_VERSION


@pytest.mark.parametrize("component", COMPONENTS, ids=[component.name for component in COMPONENTS])
def test_each_is_built_from_its_defaults(component: Component[Any], enter: Enter, context: Context) -> None:
    store = MemoryStore(1, context.logger)
    made = component.factory(component.config(), attrs.evolve(context, store=store))
    assert isinstance(made, AbstractAsyncContextManager)
    assert type(enter(made)) in (SqliteStore, MemoryStore, ConversationManager)


@pytest.mark.parametrize("component", COMPONENTS, ids=[component.name for component in COMPONENTS])
def test_every_setting_is_described(component: Component[Any]) -> None:
    assert component.summary.endswith(".")
    assert all(describe(attribute).help for attribute in attrs.fields(component.config))


def test_registering_imports_neither_stores_nor_manager() -> None:
    code = "import sys, coda_state.register; print(*(name for name in sys.modules if name.startswith('coda_state.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"coda_state.config", "coda_state.register"}
