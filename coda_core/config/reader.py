"""A stack from a TOML file: strict, and with every problem of the file reported at once."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from coda_core.config.overrides import apply_overrides
from coda_core.config.problems import unknown_name
from coda_core.config.resolution import component_problems, problems_of
from coda_core.config.stack import (
    FALLBACK,
    SEVERAL,
    Stack,
    StackSettings,
    default_name,
)
from coda_core.config.structure import Structurer
from coda_core.errors import ConfigError, PluginError, Problem
from coda_core.interfaces import KINDS, Kind
from coda_core.plugins import load_plugins
from coda_core.plugins.registry import Registered, Registry, kind_words
from coda_core.wording import found, listing, shown

__all__ = ["read_stack", "stack_of"]

_LARGEST_BYTES: Final = 4_000_000
"""Of a stack file: a device or a wrong file is not read until the memory is full."""


def read_stack(
    path: Path,
    *,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    registry: Registry | None = None,
) -> tuple[Stack, Registry]:
    """Read a stack, and load the plugins that it does not disable unless `registry` has them already.

    `overrides` are ``KEY=VALUE``, as after ``--set``. ``${NAME}`` is looked up in `environ`, by default the
    process's own. Raises `ConfigError` with every problem of the file and of the components that it names.
    """
    path = Path(path)
    folder = path.absolute().parent
    return stack_of(
        _parse(path), base_dir=folder, source=str(path), overrides=overrides, environ=environ, registry=registry
    )


def stack_of(
    document: dict[str, Any],
    *,
    base_dir: Path,
    source: str,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    registry: Registry | None = None,
) -> tuple[Stack, Registry]:
    """Like `read_stack`, of a file's content that is parsed already, which is used up. `source` is for messages."""
    environ = os.environ if environ is None else environ
    overridden, problems = apply_overrides(document, overrides)
    structurer = Structurer(base_dir=base_dir, environ=environ)
    settings, found_here = structurer.structure(document.pop("stack", {}), StackSettings, "stack")
    problems += found_here
    settings = settings or StackSettings()
    if registry is None:
        registry = load_plugins(disabled=settings.disabled_plugins, environ=environ)

    reader = _Reader(structurer, registry, settings)
    for name, value in document.items():
        reader.read(name, value)
    problems += reader.problems
    stack = Stack(
        **attrs.asdict(settings, recurse=False),
        **reader.configs,
        base_dir=base_dir,
        source=source,
        reasons=reader.reasons,
    )
    if problems:
        problems += [*reader.unusable(), *problems_of(stack, registry, without=reader.failed)]
        raise ConfigError([_with_origin(problem, overridden) for problem in problems], source)
    return stack, registry


def _with_origin(problem: Problem, overridden: Sequence[str]) -> Problem:
    return attrs.evolve(problem, key=f"{problem.key} (--set)") if problem.key in overridden else problem


class _Reader:
    """Reads the component tables of one document."""

    def __init__(self, structurer: Structurer, registry: Registry, settings: StackSettings) -> None:
        self._structurer = structurer
        self._registry = registry
        self._settings = settings
        self._named: list[tuple[Kind, str, Registered]] = []
        self.configs: dict[str, Any] = {}
        """The config of each kind that could be read; a tuple where there may be several."""
        self.reasons: dict[str, str] = {}
        self.problems: list[Problem] = []
        self.failed: set[Kind] = set()
        """The kinds with a table that could not be read."""

    def read(self, name: str, value: object) -> None:
        """Read what the document has under `name`."""
        if name not in KINDS:
            self.problems.append(_unknown_table(name, value))
            return
        before = len(self.problems)
        configs = [self._config(name, key, table) for key, table in self._tables(name, value)]
        if name == "processor" and isinstance(value, dict) and "fallback" in value:
            self.configs["fallback"] = self._fallback(value["fallback"])
        if len(self.problems) > before:
            self.failed.add(name)
        else:
            self.configs[name] = tuple(configs) if name in SEVERAL else configs[0]

    def unusable(self) -> Iterator[Problem]:
        """Yield what else is wrong with the components of tables that could not be read."""
        has_fallback = any(key == FALLBACK for _, key, _ in self._named)
        for kind, key, registered in self._named:
            if kind in self.failed:
                replaceable = key == "processor" and has_fallback
                yield from component_problems(registered, key, self._settings, replaceable=replaceable)

    def _tables(self, kind: Kind, value: object) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the key and the content of each table of a kind."""
        tables: list[tuple[str, object]]
        if kind not in SEVERAL:
            tables = [(kind, value)]
        elif isinstance(value, list):
            tables = [(f"{kind}.{index}", table) for index, table in enumerate(value)]
        else:
            tables = [(f"{kind}.0", value)]
        for key, table in tables:
            if isinstance(table, dict):
                yield key, table
            else:
                self.problems.append(_no_table(kind, key, table))

    def _fallback(self, value: object) -> object:
        """Read what stands under ``fallback`` in the processor's table: a name, or a table of its own."""
        if isinstance(value, str):
            return self._config("processor", FALLBACK, {"use": value}, use_key=FALLBACK)
        if isinstance(value, dict):
            return self._config("processor", FALLBACK, value)
        expected = "expected the name of a processor, or a table."
        self.problems.append(Problem(FALLBACK, f"found {found(value)}; {expected}", 'Write fallback = "..."'))
        return None

    def _config(self, kind: Kind, key: str, table: dict[str, Any], use_key: str | None = None) -> object:
        """Read a table; `use_key` is where its component is named, where that is not ``use`` in the table."""
        registered = self._component(kind, key, table, use_key or f"{key}.use")
        if registered is None:
            return None
        self._named.append((kind, key, registered))
        beside = {"use", "fallback"} if key == "processor" else {"use"}
        given = {name: value for name, value in table.items() if name not in beside}
        owner = f'the {kind_words(kind)} "{registered.component.name}"'
        config, problems = self._structurer.structure(given, registered.component.config, key, owner)
        self.problems += problems
        return config

    def _component(self, kind: Kind, key: str, table: dict[str, Any], use_key: str) -> Registered | None:
        header = f"[[{kind}]]" if kind in SEVERAL else f"[{kind}]"
        name: str | None
        if "use" in table:
            name, problems = self._structurer.structure(table["use"], str, use_key)
            self.problems += problems
            self.reasons[key] = f"named in {header}"
        else:
            name = default_name(kind, self._settings) if key != FALLBACK else None
            self.reasons[key] = f"default: {header} names none"
            if name is None:
                known = listing({one.component.name for one in self._registry.components(kind)})
                missing = f"is missing; expected the name of {kind_words(kind, article=True)}."
                self.problems.append(Problem(use_key, missing, f"Installed here: {known}."))
        if name is None:
            return None
        try:
            return self._registry.get(kind, name)
        except PluginError as error:
            self.problems.append(Problem(use_key, str(error)))
            return None


def _unknown_table(name: str, value: object) -> Problem:
    if name in {field.name for field in attrs.fields(StackSettings)} and not isinstance(value, (dict, list)):
        return Problem(name, "stands outside of every table.", "Write it below [stack].")
    return unknown_name(name, name, "there is no such table.", ("stack", *KINDS))


def _no_table(kind: Kind, key: str, value: object) -> Problem:
    header = f"[[{kind}]]" if kind in SEVERAL else f"[{kind}]"
    if isinstance(value, list):
        return Problem(key, f"found a list; a stack has one {kind_words(kind)}.", f"Write {header}.")
    name = shown(value) if isinstance(value, str) else '"..."'
    return Problem(key, f"found {found(value)}; expected a table.", f"Write {header} and below it: use = {name}")


def _parse(path: Path) -> dict[str, Any]:
    """Return what the file holds; raises `ConfigError` where it cannot be read or is not TOML."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
        if len(content) > _LARGEST_BYTES:
            raise ValueError(f"a stack is a small file, and this one holds more than {_LARGEST_BYTES:,} bytes")
        text = content.decode("utf-8-sig")
        return tomllib.loads(text)
    except FileNotFoundError:
        problem = Problem("", "there is no such file.", "`coda init` writes a stack to start from.")
    except IsADirectoryError:
        problem = Problem("", "this is a folder; expected a TOML file.")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problem = Problem("", f"line {line} is not UTF-8 text; a stack is a TOML file.", "Save it as UTF-8.")
    except tomllib.TOMLDecodeError as error:
        problem = Problem("", _syntax(str(error), text))
    except OSError as error:
        problem = Problem("", f"the file cannot be read: {error.strerror or error}.")
    except (ValueError, RecursionError) as error:
        problem = Problem("", f"this is not TOML that can be read: {error}.")
    raise ConfigError([problem], str(path)) from None


def _syntax(message: str, text: str) -> str:
    """Return a message of tomllib with the place in front."""
    match = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message, re.DOTALL)
    if match is None:
        return f"this is not TOML: {message}."
    lines = text.split("\n")
    line, column = match[2] or len(lines), match[3] or len(lines[-1]) + 1
    return f"line {line}, column {column} is not TOML: {match[1]}."
