from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
from rich.console import Console

from coda_core.cli.logs import log_to


@pytest.fixture
def screen() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield io.StringIO()
    root.setLevel(level)
    root.handlers[:] = handlers


def test_warnings_are_said_and_chatter_is_not(screen: io.StringIO) -> None:
    log_to(Console(file=screen), verbose=False)
    logging.getLogger("coda.kernel").info("chatter")
    logging.getLogger("coda.kernel").warning("the disk is [nearly] full")
    assert screen.getvalue() == "coda: warning: the disk is [nearly] full\n"


def test_verbose_says_everything_and_from_where(screen: io.StringIO) -> None:
    log_to(Console(file=screen), verbose=True)
    logging.getLogger("coda.kernel").info("chatter")
    assert screen.getvalue().endswith(" info coda.kernel: chatter\n")


def test_setting_it_up_again_replaces_it(screen: io.StringIO) -> None:
    log_to(Console(file=screen), verbose=True)
    log_to(Console(file=screen), verbose=False)
    logging.getLogger("coda.kernel").warning("once")
    assert screen.getvalue().count("once") == 1


def test_a_library_is_heard_where_it_matters(screen: io.StringIO) -> None:
    log_to(Console(file=screen), verbose=False)
    logging.getLogger("a_library").warning("retrying")
    logging.getLogger("a_library").error("gave up")
    assert screen.getvalue() == "coda: error: gave up\n"
