"""The tables of settings in docs/configuration.md, made from the config classes.

python tests/settings_tables.py        # rewrites the tables in place
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import attrs

from coda_core.config import Stack
from coda_core.interfaces import KINDS
from coda_core.plugins import load_plugins
from coda_core.settings import describe

PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"
_MARKED = re.compile(r"(<!-- settings -->\n).*?(<!-- end of settings -->)", re.DOTALL)


def with_tables(page: str) -> str:
    """Return the page with its tables made anew."""
    return _MARKED.sub(lambda marks: f"{marks[1]}\n{tables()}\n{marks[2]}", page)


def tables() -> str:
    """Return a heading and a table for ``[stack]`` and for every component that ships with Coda."""
    registry = load_plugins()
    sections = [_section("[stack]", "What is true of the stack as a whole.", Stack.__mro__[1])]
    for kind in KINDS:
        for one in registry.components(kind):
            if one.plugin.distribution != "coda-core":
                continue  # installed beside it
            component = one.component
            brackets = f"[[{kind}]]" if kind in ("monologue_extractor", "transport") else f"[{kind}]"
            title = f'{brackets} use = "{component.name}"'
            sections.append(_section(title, component.summary, component.config))
    return "\n".join(sections)


def _section(title: str, summary: str, config: type[Any]) -> str:
    rows = list(_rows(config))
    table = (
        "\n".join(["| setting | default | what it does |", "| --- | --- | --- |", *rows]) if rows else "No settings."
    )
    return f"### `{title}`\n\n{summary[0].upper()}{summary[1:].rstrip('.')}.\n\n{table}\n"


def _rows(config: type[Any]) -> Iterator[str]:
    for attribute in attrs.fields(attrs.resolve_types(config)):
        known = describe(attribute)
        if known.help:
            words = [known.help[0].upper() + known.help[1:].rstrip(".")]
            if known.minimum is not None:
                words.append(f"at least {known.minimum:,.10g}")
            if known.maximum is not None:
                words.append(f"at most {known.maximum:,.10g}")
            if get_origin(attribute.type) is Literal:
                words.append("one of " + ", ".join(f"`{choice}`" for choice in get_args(attribute.type)))
            yield f"| `{attribute.name}` | {_shown(attribute.default)} | {'; '.join(words)} |"


def _shown(default: object) -> str:
    if default is attrs.NOTHING:
        return "required"
    if default is None:
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, (str, Path)):
        return f'`"{default}"`'
    return f"`{list(default)}`" if isinstance(default, tuple) else f"`{default}`"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
