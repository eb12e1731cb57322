from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from coda_core.cli.logs import log_to
from coda_core.cli.terminal import Terminal


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


def test_warnings_are_said_and_chatter_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    log_to(Terminal(), verbose=False)
    logging.getLogger("coda.kernel").info("chatter")
    logging.getLogger("coda.kernel").warning("the disk is [nearly] full")
    assert capsys.readouterr() == ("", "coda: warning: the disk is [nearly] full\n")


def test_a_library_is_heard_where_it_matters(capsys: pytest.CaptureFixture[str]) -> None:
    log_to(Terminal(), verbose=False)
    logging.getLogger("a_library").warning("retrying")
    logging.getLogger("a_library").error("gave up")
    assert capsys.readouterr().err == "coda: error: gave up\n"


def test_verbose_says_everything_and_from_where(capsys: pytest.CaptureFixture[str]) -> None:
    log_to(Terminal(), verbose=True)
    logging.getLogger("a_library").info("chatter")
    assert capsys.readouterr().err.endswith(" info a_library: chatter\n")


def test_setting_it_up_again_replaces_it(capsys: pytest.CaptureFixture[str]) -> None:
    log_to(Terminal(), verbose=True)
    log_to(Terminal(), verbose=False)
    logging.getLogger("coda.kernel").warning("once")
    assert capsys.readouterr().err.count("once") == 1
