"""``coda doctor``: is everything here that Coda needs, and if not, what is to be done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs
import click

from coda_core.cli.doctor.finding import Finding, Status
from coda_core.cli.options import json_option, verbose_option
from coda_core.cli.terminal import Terminal

__all__ = ["command"]

_STYLES: Final[dict[Status, str]] = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@click.command("doctor")
@json_option
@verbose_option
@click.pass_obj
def command(terminal: Terminal, as_json: bool) -> None:
    """Test this installation: packages, CUDA, sound, disk, and whether the model hub answers.

    Each line is ok, warn (something that you may want does not work) or fail (Coda itself cannot work), and says what
    to do. The exit code is 2 where a line says fail.
    """
    findings: list[Finding] = []
    for finding in _look():
        findings.append(finding)
        if not as_json:
            _show(terminal, finding)
    failed = any(finding.status == "fail" for finding in findings)
    if as_json:
        terminal.json({"ok": not failed, "findings": [attrs.asdict(finding) for finding in findings]})
    if failed:
        raise click.exceptions.Exit(2)


def _look() -> Iterator[Finding]:
    """Yield findings as they are made: some take seconds."""
    from coda_core.cli.doctor.accelerator import accelerator
    from coda_core.cli.doctor.hub import hub
    from coda_core.cli.doctor.machine import machine
    from coda_core.cli.doctor.packages import base_packages, component_packages, plugins, python
    from coda_core.cli.doctor.sound import sound
    from coda_core.cli.doctor.storage import storage
    from coda_core.plugins import load_plugins

    yield from python()
    yield from base_packages()
    registry = load_plugins()
    yield from plugins(registry)
    yield from component_packages(registry)
    yield from machine()
    yield from storage()
    yield from accelerator()
    yield from sound()
    yield from hub()


def _show(terminal: Terminal, finding: Finding) -> None:
    terminal.line(f"{finding.status:4}  {finding.about}: {finding.found}", _STYLES[finding.status])
    if finding.remedy:
        terminal.line(finding.remedy, indent=6)
