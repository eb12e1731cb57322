"""What docs/kinds has from the code: hooks, what is registered, and parts of what ``coda new plugin`` writes.

python tests/kind_tables.py        # rewrites them in place
"""

from __future__ import annotations

import ast
import inspect
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import cast

import coda_core.hookspecs
from coda_core.cli.new.naming import Names
from coda_core.cli.new.package import write_package
from coda_core.config.stack import DEFAULTS, SEVERAL
from coda_core.hookspecs import REGISTRATION_HOOKS
from coda_core.interfaces import KINDS, Kind
from coda_core.plugins import load_plugins

FOLDER = Path(__file__).parent.parent / "docs" / "kinds"
PAGES = sorted(FOLDER.glob("*.md"))
_COMPONENTS = re.compile(r"(<!-- components: (\w+) -->\n).*?(<!-- end of components -->)", re.DOTALL)
_HOOKS = re.compile(r"(<!-- hooks -->\n).*?(<!-- end of hooks -->)", re.DOTALL)
_WRITTEN = re.compile(
    r"(<!-- new plugin (?P<name>[\w-]+) --kind (?P<kind>\w+): (?P<file>[\w./]+)(?: (?P<parts>[\w ]+))? -->\n)"
    r".*?(?P<end><!-- end of new plugin -->)",
    re.DOTALL,
)


def with_tables(page: str) -> str:
    """Return a page with its tables, and what it shows of new plugins, made anew."""
    page = _COMPONENTS.sub(lambda marks: f"{marks[1]}\n{components(cast(Kind, marks[2]))}\n\n{marks[3]}", page)
    page = _WRITTEN.sub(lambda marks: f"{marks[1]}\n{_written(marks)}\n\n{marks['end']}", page)
    return _HOOKS.sub(lambda marks: f"{marks[1]}\n{hooks()}\n\n{marks[2]}", page)


def components(kind: Kind) -> str:
    """Return a table of the components of a kind that ship with Coda."""
    rows = []
    for one in load_plugins().components(kind):
        component = one.component
        if one.plugin.distribution != "coda-core":
            continue
        extra = f"`{component.requires.install}`" if component.requires is not None else ""
        summary = component.summary[0].upper() + component.summary[1:].rstrip(".")
        anchor = settings_anchor(kind, component.name)
        rows.append(f"| `{component.name}` | {summary} | {extra} | [settings](../configuration.md#{anchor}) |")
    return "\n".join(["| component | what it does | needs | |", "| --- | --- | --- | --- |", *rows])


def settings_anchor(kind: Kind, name: str) -> str:
    """Return the anchor of a component's settings in docs/configuration.md."""
    return f"{kind}-use-{name}"


def _written(marks: re.Match[str]) -> str:
    """Return a file that ``coda new plugin`` writes as a block of code; of its class, where `parts` are named, these.

    A whole file is named in its first line, as one that a reader has; parts are no program.
    """
    with tempfile.TemporaryDirectory() as into:
        folder = write_package(Path(into), Names.of(marks["name"]), cast(Kind, marks["kind"]))
        text = (folder / marks["file"]).read_text("utf-8")
    if marks["parts"] is not None:
        return f"```py\n{methods(text, marks['parts'].split())}\n```"
    language = "toml" if marks["file"].endswith(".toml") else "python"
    return f"```{language}\n# file: {marks['file']}\n{text}```"


def methods(module: str, names: list[str]) -> str:
    """Return methods of a module's first class, in the order of `names`, under the head of the class."""
    lines = module.splitlines()
    found = next(each for each in ast.parse(module).body if isinstance(each, ast.ClassDef))
    at = {
        each.name: slice(
            min([each.lineno, *(decorator.lineno for decorator in each.decorator_list)]) - 1, each.end_lineno
        )
        for each in found.body
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    parts = ["\n".join(lines[at[name]]) for name in names]
    left_out = "\n    ...\n"
    return lines[found.lineno - 1] + left_out + "".join(f"\n{part}\n{left_out}" for part in parts).rstrip("\n")


def hooks() -> str:
    """Return a table of every hook, in the order in which they are declared."""
    kinds = {hook: kind for kind, hook in REGISTRATION_HOOKS.items()}
    rows = []
    for name, function in inspect.getmembers(coda_core.hookspecs, _is_hook):
        rows.append((function.__code__.co_firstlineno, _row(name, function, cast("Kind | None", kinds.get(name)))))
    table = ["| hook | kind | left out | several | what it does |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*table, *(row for _, row in sorted(rows))])


def _is_hook(value: object) -> bool:
    return inspect.isfunction(value) and hasattr(value, f"{coda_core.hookspecs.PROJECT}_spec")


def _row(name: str, function: Callable[..., object], kind: Kind | None) -> str:
    signature = f"{name}({', '.join(inspect.signature(function).parameters)})"
    words = " ".join((inspect.getdoc(function) or "").split())
    if kind is None:
        return f"| `{signature}` | any plugin | | | {words} |"
    page, several = f"{kind.replace('_', '-')}.md", "yes" if kind in SEVERAL else "no"
    default = f"`{DEFAULTS[kind]}`" if kind in DEFAULTS else "none"
    return f"| `{signature}` | [`{kind}`]({page}) | {default} | {several} | {words} |"


if __name__ == "__main__":
    assert {kind.replace("_", "-") for kind in KINDS} <= {page.stem for page in PAGES}
    for path in PAGES:
        path.write_text(with_tables(path.read_text()))
