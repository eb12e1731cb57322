"""What a plugin can do wrong, and the line that says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from coda_core.hookspecs import hookimpl
from coda_core.interfaces import CONTRACT_VERSION, Component
from coda_core.plugins.registration import HOOKS, Unusable, register
from coda_core.settings import setting

if TYPE_CHECKING:
    from tests.coda_core.conftest import Kit

PROCESSORS = "coda_register_processors"


@attrs.define
class ThawedConfig:
    delay: int = setting(1, help="x")


@attrs.frozen
class DictConfig:
    table: dict[str, int] = setting(attrs.Factory(dict), help="x")


@attrs.frozen
class LostConfig:
    where: Missing = setting(None, help="x")  # type: ignore[name-defined]  # noqa: F821


@attrs.frozen
class UseConfig:
    use: str = setting("x", help="x")


@attrs.frozen
class FallbackConfig:
    fallback: str = setting("x", help="x")


@attrs.frozen
class PlainConfig:
    pass


class NoAttrs:
    pass


def make_nothing(config: Any, context: Any) -> Any:
    return None


def reason_of(module: object) -> str:
    with pytest.raises(Unusable) as raised:
        register("wrong", "coda-wrong", "1.0", module)
    text = str(raised.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("contract", "reason"),
    [
        (
            None,
            f"it does not say which contract it was written for; wrong needs a line CODA_CONTRACT = {CONTRACT_VERSION}",
        ),
        ("1", f"its CODA_CONTRACT is a string; expected the integer {CONTRACT_VERSION}"),
        (True, f"its CODA_CONTRACT is a boolean; expected the integer {CONTRACT_VERSION}"),
        (
            CONTRACT_VERSION + 1,
            f"it was written for contract {CONTRACT_VERSION + 1} and this coda-core has contract {CONTRACT_VERSION}; "
            "coda-core is the older of the two and needs an update",
        ),
        (
            CONTRACT_VERSION - 1,
            f"it was written for contract {CONTRACT_VERSION - 1} and this coda-core has contract {CONTRACT_VERSION}; "
            "the plugin is the older of the two and needs an update",
        ),
    ],
)
def test_a_contract_that_is_not_this_one(kit: Kit, contract: object, reason: str) -> None:
    assert reason_of(kit.module_with("wrong", {}, contract)) == reason


def test_an_entry_point_that_is_no_module() -> None:
    assert reason_of(NoAttrs()) == "its entry point leads to a NoAttrs; expected a module"


def _nothing() -> list[Any]:
    return []


def test_a_misspelt_hook(kit: Kit) -> None:
    module = kit.module_with("wrong", {"coda_register_procesors": _nothing})
    assert reason_of(module) == (
        'there is no hook called coda_register_procesors (Did you mean "coda_register_processors"?)'
    )
    far = kit.module_with("wrong", {"zzz": _nothing})
    assert reason_of(far) == "there is no hook called zzz"


def test_a_hook_that_is_not_marked(kit: Kit) -> None:
    module = kit.module_with("wrong", {})
    vars(module)[PROCESSORS] = make_nothing
    assert reason_of(module) == f"{PROCESSORS} is not marked with @hookimpl, so it would never be called"


def _defaulted(kernel: object = None) -> None: ...
def _keyword(*, kernel: object) -> None: ...
def _stars(*arguments: object) -> None: ...
def _unknown(kernel: object, clock: object) -> None: ...
async def _async(kernel: object) -> None: ...


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (_defaulted, "coda_started has a default for its parameter kernel, which would never be filled"),
        (_keyword, "coda_started has the parameter kernel, which would never be filled"),
        (_stars, "coda_started has the parameter arguments, which would never be filled"),
        (_async, "coda_started is an async function; hooks are plain functions"),
    ],
)
def test_a_signature_that_is_never_filled(kit: Kit, function: Callable[..., Any], reason: str) -> None:
    assert reason_of(kit.module_with("wrong", {"coda_started": function})) == reason


def test_a_parameter_that_the_hook_does_not_have(kit: Kit) -> None:
    reason = reason_of(kit.module_with("wrong", {"coda_started": _unknown}))
    assert "'coda_started'" in reason
    assert "{'clock'}" in reason


def test_a_wrapper(kit: Kit) -> None:
    def wrapping() -> Iterator[Any]:
        return (yield)

    module = kit.module_with("wrong", {})
    vars(module)[PROCESSORS] = hookimpl(wrapper=True)(wrapping)
    assert (
        reason_of(module)
        == f"{PROCESSORS} is a wrapper; hooks are called plugin by plugin and there is nothing to wrap"
    )


def _raises() -> Any:
    raise KeyError("no such\nthing")


def _exits() -> Any:
    raise SystemExit(3)


def _generates() -> Iterator[Any]:
    yield Component("a", "A.", PlainConfig, make_nothing)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (_raises, "raised KeyError: no such thing"),
        (_exits, "raised SystemExit: 3"),
        (lambda: None, "returned nothing; expected a list of Component"),
        (lambda: 3, "returned an integer; expected a list of Component"),
        (
            lambda: Component("a", "A.", PlainConfig, make_nothing),
            "returned a Component; expected a list of Component",
        ),
        (_generates, "returned a generator; expected a list of Component"),
        (lambda: [PlainConfig], "returned a list with the class PlainConfig; expected Component"),
    ],
)
def test_a_hook_that_fails_or_returns_something_else(kit: Kit, function: Callable[..., Any], reason: str) -> None:
    assert reason_of(kit.module_with("wrong", {PROCESSORS: function})) == f"{PROCESSORS} {reason}"


GOOD: dict[str, Any] = {"name": "good", "summary": "One.", "config": PlainConfig, "factory": make_nothing}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        *(
            ({"name": name}, "a name is lower-case letters and digits, words joined by hyphens")
            for name in ("", "Good", "two words", "under_score", "-x", "x-", "a--b", "9", "ünder", "a\n", 3)
        ),
        *(({"summary": text}, "its summary is not one line of text") for text in ("", "  ", "two\nlines", 3)),
        ({"factory": "x"}, "its factory is a string; expected a function"),
        ({"requires": ("torch",)}, "its requires is a list; expected Requires or None"),
        ({"worker": 3}, "its worker is an integer; expected a name or None"),
        ({"config": NoAttrs}, "config class NoAttrs is not an attrs class"),
        ({"config": ThawedConfig}, "config class ThawedConfig is not frozen: make it with @attrs.frozen"),
        ({"config": DictConfig}, "DictConfig.table has a type that a setting cannot have: dict[str, int]"),
        ({"config": UseConfig}, 'its config class has a setting called "use", which in a stack names the component'),
        (
            {"config": FallbackConfig},
            'its config class has a setting called "fallback", '
            "which in a stack names the processor that takes its place",
        ),
        (
            {"config": LostConfig},
            "a type of config class LostConfig cannot be resolved (name 'Missing' is not defined): "
            "import it at run time, not only under TYPE_CHECKING",
        ),
    ],
)
def test_a_component_that_is_wrong(kit: Kit, changes: dict[str, Any], reason: str) -> None:
    component: Component[Any] = Component(**(GOOD | changes))
    module = kit.module_with("wrong", {PROCESSORS: lambda: [component]})
    name = "an integer" if changes.get("name") == 3 else json.dumps(component.name, ensure_ascii=False)
    assert reason_of(module) == f"{PROCESSORS}: component {name}: {reason}"


def test_components_that_get_in_each_others_way(kit: Kit) -> None:
    same_name = [kit.component("a", PlainConfig), kit.component("a", UseConfig)]
    module = kit.module_with("wrong", {PROCESSORS: lambda: same_name})
    assert reason_of(module) == f'{PROCESSORS}: component "a": the name is given twice'
    same_config = [kit.component("a", PlainConfig), kit.component("b", PlainConfig)]
    module = kit.module_with("wrong", {PROCESSORS: lambda: same_config})
    assert reason_of(module) == (
        f'{PROCESSORS}: component "b": its config class is that of another component of the plugin; give each its own'
    )


def test_a_plugin_that_keeps_the_contract(kit: Kit) -> None:
    component: Component[Any] = Component(**GOOD)
    module = kit.module_with("right", {PROCESSORS: lambda: (component,)})
    loaded = register("right", "coda-right", "2.1", module)
    assert loaded.observer is None
    assert loaded.plugin.components == (("processor", "good"),)
    assert str(loaded.plugin) == '"right" of coda-right 2.1'
    assert [one.component for one in loaded.registered] == [component]


def test_a_plugin_may_register_nothing(kit: Kit) -> None:
    loaded = register("idle", "coda-idle", "1", kit.module_with("idle", {}))
    assert loaded.registered == ()


def test_the_hooks_are_those_of_the_specs() -> None:
    assert len(HOOKS) == 8
