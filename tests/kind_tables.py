"""The tables of hooks and of components in docs/kinds, made from the hook specs and from what is registered.

python tests/kind_tables.py        # rewrites the tables in place
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import cast

import coda_core.hookspecs
from coda_core.config.stack import DEFAULTS, SEVERAL
from coda_core.hookspecs import REGISTRATION_HOOKS
from coda_core.interfaces import KINDS, Kind
from coda_core.plugins import load_plugins

FOLDER = Path(__file__).parent.parent / "docs" / "kinds"
PAGES = sorted(FOLDER.glob("*.md"))
_COMPONENTS = re.compile(r"(<!-- components: (\w+) -->\n).*?(<!-- end of components -->)", re.DOTALL)
_HOOKS = re.compile(r"(<!-- hooks -->\n).*?(<!-- end of hooks -->)", re.DOTALL)


def with_tables(page: str) -> str:
    """Return a page with its tables made anew."""
    page = _COMPONENTS.sub(lambda marks: f"{marks[1]}\n{components(cast(Kind, marks[2]))}\n\n{marks[3]}", page)
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
