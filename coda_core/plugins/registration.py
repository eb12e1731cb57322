"""One plugin module: checked against the contract, and asked for its components.

Each plugin gets a pluggy manager of its own, because pluggy stops at the first implementation that raises: what
one plugin does wrong must not keep the others from being asked.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import attrs
import pluggy

from coda_core import hookspecs
from coda_core.fields import fields_of
from coda_core.hookspecs import PROJECT, REGISTRATION_HOOKS
from coda_core.interfaces import CONTRACT_VERSION, KINDS, Component, Kind, Requires
from coda_core.plugins.registry import Plugin, Registered
from coda_core.wording import did_you_mean, one_line, shown, type_words

if TYPE_CHECKING:
    from coda_core.kernel import Kernel

__all__ = ["HOOKS", "Loaded", "Unusable", "register"]

HOOKS: Final = tuple(name for name in vars(hookspecs) if name.startswith("coda_"))
"""The names of all hooks."""

_RESERVED: Final = {"use": "the component", "fallback": "the processor that takes its place"}
"""What stands in a component's table beside its settings; a fallback only in a processor's."""

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class Unusable(Exception):
    """A plugin that breaks the contract. The text is one line for its author and its users."""


@attrs.frozen
class Loaded:
    """What one plugin brought."""

    plugin: Plugin
    registered: tuple[Registered, ...]
    observer: Callable[[Kernel], object] | None


def register(name: str, distribution: str, version: str, module: object) -> Loaded:
    """Return what a plugin's module registers; raises `Unusable`."""
    if not isinstance(module, ModuleType):
        raise Unusable(f"its entry point leads to {type_words(module)}; expected a module")
    _check_contract(module)
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    _check_hooks(manager, module, name)
    components = {kind: _components(manager, kind) for kind in KINDS}
    offered = tuple((kind, component.name) for kind in KINDS for component in components[kind])
    plugin = Plugin(name, distribution, version, offered)
    registered = tuple(Registered(kind, component, plugin) for kind in KINDS for component in components[kind])
    started = manager.hook.coda_started
    observer = (lambda kernel: started(kernel=kernel)) if started.get_hookimpls() else None
    return Loaded(plugin, registered, observer)


def _check_contract(module: ModuleType) -> None:
    wanted = getattr(module, "CODA_CONTRACT", None)
    if wanted is None:
        raise Unusable(
            f"it does not say which contract it was written for; {module.__name__} needs "
            f"a line CODA_CONTRACT = {CONTRACT_VERSION}"
        )
    if type(wanted) is not int:
        raise Unusable(f"its CODA_CONTRACT is {type_words(wanted)}; expected the integer {CONTRACT_VERSION}")
    if wanted != CONTRACT_VERSION:
        older = "the plugin" if wanted < CONTRACT_VERSION else "coda-core"
        raise Unusable(
            f"it was written for contract {wanted} and this coda-core has contract {CONTRACT_VERSION}; "
            f"{older} is the older of the two and needs an update"
        )


def _check_hooks(manager: pluggy.PluginManager, module: ModuleType, name: str) -> None:
    """Register `module` with `manager`, refusing what pluggy would accept and then never call or never fill."""
    for hook in HOOKS:
        function = getattr(module, hook, None)
        if callable(function) and manager.parse_hookimpl_opts(module, hook) is None:
            raise Unusable(f"{hook} is not marked with @hookimpl, so it would never be called")
    try:
        manager.register(module, name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise Unusable(_validation_text(manager, module, error)) from error
    for caller in manager.get_hookcallers(module) or ():
        for implementation in caller.get_hookimpls():
            _check_signature(caller.name, implementation)


def _validation_text(manager: pluggy.PluginManager, module: ModuleType, error: pluggy.PluginValidationError) -> str:
    for caller in manager.get_hookcallers(module) or ():
        if not caller.has_spec():
            near = did_you_mean(caller.name, HOOKS)
            return f"there is no hook called {caller.name}{f' ({near})' if near else ''}"
    return "; ".join(line.strip() for line in str(error).splitlines())


def _check_signature(hook: str, implementation: pluggy.HookImpl) -> None:
    function = implementation.function
    if implementation.wrapper or implementation.hookwrapper:
        raise Unusable(f"{hook} is a wrapper; hooks are called plugin by plugin and there is nothing to wrap")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise Unusable(f"{hook} is an async function; hooks are plain functions")
    for parameter in inspect.signature(function).parameters.values():
        if parameter.default is not inspect.Parameter.empty:
            raise Unusable(f"{hook} has a default for its parameter {parameter.name}, which would never be filled")
        if parameter.kind not in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD):
            raise Unusable(f"{hook} has the parameter {parameter.name}, which would never be filled")


def _components(manager: pluggy.PluginManager, kind: Kind) -> tuple[Component[Any], ...]:
    hook = REGISTRATION_HOOKS[kind]
    caller = getattr(manager.hook, hook)
    if not caller.get_hookimpls():
        return ()
    try:
        results = caller()
    except (Exception, SystemExit) as error:
        raise Unusable(f"{hook} raised {one_line(error)}") from error
    returned = results[0] if results else None
    if not isinstance(returned, (list, tuple)):
        raise Unusable(f"{hook} returned {type_words(returned)}; expected a list of Component")
    for position, component in enumerate(returned):
        if not isinstance(component, Component):
            raise Unusable(f"{hook} returned a list with {type_words(component)}; expected Component")
        for problem in _component_problems(kind, component, returned[:position]):
            name = shown(component.name) if isinstance(component.name, str) else type_words(component.name)
            raise Unusable(f"{hook}: component {name}: {problem}")
    return tuple(returned)


def _component_problems(kind: Kind, component: Component[Any], before: Any) -> Iterator[str]:
    """Yield what is wrong with a component; `before` are those of its kind that the plugin returned before it."""
    if not isinstance(component.name, str) or _NAME.fullmatch(component.name) is None:
        yield "a name is lower-case letters and digits, words joined by hyphens"
    if not isinstance(component.summary, str) or not component.summary.strip() or "\n" in component.summary:
        yield "its summary is not one line of text"
    if any(component.name == other.name for other in before):
        yield "the name is given twice"
    if any(component.config is other.config for other in before):
        yield "its config class is that of another component of the plugin; give each its own"
    if not callable(component.factory):
        yield f"its factory is {type_words(component.factory)}; expected a function"
    if component.requires is not None and not isinstance(component.requires, Requires):
        yield f"its requires is {type_words(component.requires)}; expected Requires or None"
    if component.worker is not None and not isinstance(component.worker, str):
        yield f"its worker is {type_words(component.worker)}; expected a name or None"
    try:
        settings = {field.name for field in fields_of(component.config)}
        for name in sorted(settings & _RESERVED.keys()):
            if kind == "processor" or name == "use":
                yield f'its config class has a setting called "{name}", which in a stack names {_RESERVED[name]}'
    except TypeError as error:
        yield str(error)
