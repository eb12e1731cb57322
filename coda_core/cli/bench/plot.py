"""The step times as a picture: which kind of file is asked for, and whether it can be made."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import click

from coda_core.cli.bench.findings import Findings
from coda_core.errors import CodaError, MissingExtra
from coda_core.interfaces import Requires
from coda_core.plugins.registry import missing_modules

__all__ = ["plot_writer"]

_MATPLOTLIB: Final = Requires(("matplotlib",), "coda-core[plot]")


def plot_writer(path: Path) -> Callable[[Findings], None]:
    """Return what draws the findings into `path`; it raises `CodaError` where that cannot be written.

    Raises at once, before anything is measured, what can be known at once: `MissingExtra` where a picture is asked
    for without matplotlib, and `click.BadParameter` for another kind of file.
    """
    kind = path.suffix.lower()
    if kind not in (".png", ".html"):
        raise click.BadParameter(f"{path}: the name must end in .png or .html", param_hint="'--plot'")
    if not path.absolute().parent.is_dir():
        raise CodaError(f"{path} cannot be written: there is no folder {path.absolute().parent}")
    if path.is_dir():
        raise CodaError(f"{path} is a folder; give the name of a file")
    if kind == ".png" and missing_modules(_MATPLOTLIB):
        raise MissingExtra(
            "drawing a PNG needs the package matplotlib, which is not installed. "
            f"Run: pip install '{_MATPLOTLIB.install}', or give a name that ends in .html"
        )
    return partial(_write_png if kind == ".png" else _write_html, path)


def _write_html(path: Path, findings: Findings) -> None:
    from coda_core.cli.bench.page import page
    from coda_core.cli.whole_file import write_whole

    write_whole(path, page(findings))


def _write_png(path: Path, findings: Findings) -> None:
    from coda_core.cli.bench.picture import picture

    drawn = picture(findings)
    try:
        path.write_bytes(drawn)
    except OSError as error:
        raise CodaError(f"{path} cannot be written: {error.strerror}") from None
