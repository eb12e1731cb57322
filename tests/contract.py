"""The public contract, written down: names, Protocols, hooks, settings and events that others rely on.

python tests/contract.py        # records it anew, after a change that was meant

A line that changes or goes breaks somebody: then `CONTRACT_VERSION` is raised, or the old way stays for a release and
warns (`coda_core.deprecation`), and CHANGELOG says so. A new line breaks nobody.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, ForwardRef

import attrs

from coda_core import hookspecs
from coda_core.config.stack import StackSettings
from coda_core.events import Event
from coda_core.interfaces import KINDS
from coda_core.plugins import load_plugins
from coda_core.settings import describe

RECORD = Path(__file__).parent / "contract.txt"

MODULES = (
    "coda_core",
    "coda_core.audio",
    "coda_core.clock",
    "coda_core.commands",
    "coda_core.deprecation",
    "coda_core.errors",
    "coda_core.events",
    "coda_core.hookspecs",
    "coda_core.interfaces",
    "coda_core.memory",
    "coda_core.network",
    "coda_core.parking",
    "coda_core.settings",
    "coda_core.sound",
    "coda_core.state",
    "coda_core.storing",
    "coda_core.subscription",
    "coda_core.testing",
    "coda_core.testing.conformance",
    "coda_core.testing.fixtures",
    "coda_core.text",
)
"""What a plugin author or an embedder imports from."""

EXTENDED = ("coda_core.conversation", "coda_core.kernel", "coda_core.plugins", "coda_core.steps")
"""Modules of which single classes are public, through `coda_core`."""

GATHERED = ("coda_core.interfaces",)
"""Packages whose names are imported from the package alone: in which of its files something is may change."""


def contract() -> str:
    """Return the whole contract, a line for each thing."""
    lines: list[str] = []
    for name in (*MODULES, *EXTENDED):
        module = import_module(name)
        lines += [f"{name}: {public}" for public in sorted(module.__all__)]
        if name != "coda_core":
            lines += _members(module)
    lines += [f"hook {name}{inspect.signature(getattr(hookspecs, name))}" for name in _hooks()]
    lines += sorted(_settings())
    lines += sorted(_events(Event))
    # Where an object lies in memory is nobody's contract.
    return re.sub(r" at 0x[0-9a-f]+", "", "\n".join(dict.fromkeys(lines))) + "\n"


def _hooks() -> list[str]:
    return sorted(name for name in vars(hookspecs) if name.startswith("coda_"))


def _members(module: ModuleType) -> Iterator[str]:
    for name in sorted(module.__all__):
        thing = getattr(module, name)
        if _home(thing) not in (module.__name__, None):
            continue
        if inspect.isclass(thing):
            yield from _class(f"{module.__name__}.{name}", thing)
        elif inspect.isfunction(thing):
            yield f"{module.__name__}.{name}{inspect.signature(thing)}"


def _home(thing: object) -> str | None:
    """Return the module that a thing is of: for what a file of `GATHERED` defines, the package."""
    defined = getattr(thing, "__module__", "")
    return next((each for each in GATHERED if defined and defined.startswith(f"{each}.")), defined)


def _class(path: str, thing: type[Any]) -> Iterator[str]:
    if attrs.has(thing):
        for field in attrs.fields(thing):
            if not field.name.startswith("_"):
                yield f"{path}.{field.name}: {_written(thing, field)}{_default(field)}"
    else:
        for name, type in sorted(inspect.get_annotations(thing).items()):
            if not name.startswith("_"):
                yield f"{path}.{name}: {_type(type)}"
    for name, member in sorted(vars(thing).items()):
        if name.startswith("_") and name not in ("__init__", "__call__"):
            continue
        if isinstance(member, property):
            yield f"{path}.{name} (property)"
        elif inspect.isfunction(member) and not (name == "__init__" and attrs.has(thing)):
            yield f"{path}.{name}{inspect.signature(member)}"
        elif isinstance(member, (classmethod, staticmethod)):
            yield f"{path}.{name}{inspect.signature(member.__func__)}"


def _default(field: attrs.Attribute[Any]) -> str:
    if field.default is attrs.NOTHING:
        return ""
    return " = ..." if isinstance(field.default, attrs.Factory) else f" = {field.default!r}"  # type: ignore[arg-type]


def _written(owner: type[Any], field: attrs.Attribute[Any]) -> str:
    """Return a field's type as the source has it: attrs keeps what it stands for once somebody has asked for that."""
    written = [inspect.get_annotations(each) for each in owner.__mro__]
    return _type(next((each[field.name] for each in written if field.name in each), field.type))


def _type(type: Any) -> str:
    if isinstance(type, ForwardRef):
        return type.__forward_arg__
    return type if isinstance(type, str) else getattr(type, "__name__", str(type))


def _settings() -> Iterator[str]:
    """Every setting of a stack and of each component that ships with Coda, with its type, default and bounds."""
    for field in attrs.fields(StackSettings):
        yield f"setting [stack] {_setting(StackSettings, field)}"
    for kind in KINDS:
        for one in load_plugins().components(kind):
            if one.plugin.distribution == "coda-core":
                config = one.component.config
                for field in attrs.fields(config):
                    yield f'setting [{kind}] use = "{one.component.name}" {_setting(config, field)}'


def _setting(owner: type[Any], field: attrs.Attribute[Any]) -> str:
    known = describe(field)
    bounds = [
        f"{name} {value:g}" for name, value in (("from", known.minimum), ("to", known.maximum)) if value is not None
    ]
    return " ".join([f"{field.name}: {_written(owner, field)}{_default(field)}", *bounds])


def _events(base: type[Event]) -> Iterator[str]:
    """Every event of the kernel, with its fields: they are stored, and read again by later versions."""
    for event in base.__subclasses__():
        if event.__module__.startswith("coda_core.") and "testing" not in event.__module__:
            fields = ", ".join(f"{field.name}: {_written(event, field)}" for field in attrs.fields(event))
            yield f"event {event.type} {event.version} {_home(event)}.{event.__qualname__}: {fields}"
            yield from _events(event)


if __name__ == "__main__":
    RECORD.write_text(contract(), encoding="utf-8")
    print(f"recorded {RECORD}")
