from __future__ import annotations

import subprocess
import sys
from typing import Any

import attrs
import pluggy
import pytest

from coda_core import hookspecs
from coda_core.hookspecs import PROJECT
from coda_core.interfaces import CONTRACT_VERSION
from coda_core.settings import describe
from coda_moshi import register
from coda_moshi.config import MoshiConfig


@pytest.fixture
def manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(register)
    manager.check_pending()
    return manager


def test_hook_coda_register_processors(manager: pluggy.PluginManager) -> None:
    (components,) = manager.hook.coda_register_processors()
    moshi, echo = components
    assert (moshi.name, moshi.config, moshi.worker) == ("moshi", MoshiConfig, "moshi")
    assert moshi.requires.install == "coda-core[moshi]"
    assert (echo.name, echo.worker, echo.requires) == ("echo", None, None)


def test_hook_coda_register_monologue_extractors(manager: pluggy.PluginManager) -> None:
    (components,) = manager.hook.coda_register_monologue_extractors()
    assert [component.name for component in components] == ["inner-monologue"]


def test_the_contract_is_named() -> None:
    assert register.CODA_CONTRACT == CONTRACT_VERSION


def test_registering_imports_nothing_heavy() -> None:
    code = (
        "import sys, coda_moshi.register; print(*{'torch', 'moshi', 'sentencepiece', 'safetensors'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


def test_every_setting_of_moshi_says_what_it_does() -> None:
    for attribute in attrs.fields(MoshiConfig):
        assert describe(attribute).help, attribute.name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("conversations", 0),
        ("conversations", 1025),
        ("device", "gpu"),
        ("device", "cuda:"),
        ("vram_allocation", "lots"),
        ("text_temperature", -0.1),
        ("audio_top_k", -1),
        ("threads", 0),
    ],
)
def test_settings_out_of_bounds_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        MoshiConfig(**{name: value})
