"""What README shows is run; its table of settings is that of the code: ``python tests/test_readme.py`` renews it."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Literal, get_args, get_origin

import attrs
from coda_core.settings import describe

from coda_openai_realtime.config import OpenaiRealtimeConfig

PAGE = Path(__file__).parent.parent / "README.md"
_MARKED = re.compile(r"(<!-- settings -->\n).*?(<!-- end of settings -->)", re.DOTALL)


def with_table(page: str) -> str:
    """Return the page with its table made anew."""
    return _MARKED.sub(lambda marks: f"{marks[1]}\n{_table()}\n\n{marks[2]}", page)


def _table() -> str:
    rows = ["| setting | default | what it does |", "| --- | --- | --- |"]
    for field in attrs.fields(attrs.resolve_types(OpenaiRealtimeConfig)):
        words = describe(field).help
        if get_origin(field.type) is Literal:
            words += "; one of " + ", ".join(f"`{each}`" for each in get_args(field.type))
        default = "" if field.default is None else f"`{_toml(field.default)}`"
        rows.append(f"| `{field.name}` | {default} | {words[0].upper()}{words[1:]} |")
    return "\n".join(rows)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{each}"' for each in value) + "]"
    return f'"{value}"' if isinstance(value, str) else f"{value:.10g}"


def test_the_settings_are_those_of_the_code() -> None:
    assert PAGE.read_text() == with_table(PAGE.read_text()), "run: python tests/test_readme.py"


def test_the_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#\s]+)\)", PAGE.read_text()):
        assert (PAGE.parent / target).exists(), target


async def test_the_stack_and_the_client_run(tmp_path: Path) -> None:
    blocks = re.findall(r"^```(?:toml|python)\n# file: (\S+)\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    for name, text in blocks:
        # A port that is free takes the place of the one that is shown.
        (tmp_path / name).write_text(text.replace("port = 8999", "port = 0"))
    environment = {**os.environ, "CODA_TOKEN": "s3cret"}
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "coda_core.cli", "run", "realtime.toml"),
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert server.stderr is not None
        said = ""
        while (listening := re.search(r"listening on ws://(\S+)/v1", said)) is None:
            line = await server.stderr.readline()
            assert line, said
            said += line.decode()
        client = tmp_path / "client.py"
        client.write_text(client.read_text().replace("127.0.0.1:8999", listening[1]))
        ran = await asyncio.create_subprocess_exec(
            sys.executable, str(client), env=environment, stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await ran.communicate()
        assert (ran.returncode, bool(printed.strip())) == (0, True)
    finally:
        server.terminate()
        await server.communicate()


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
