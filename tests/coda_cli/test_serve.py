from __future__ import annotations

import json
import re
import signal
import subprocess
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]
Start = Callable[..., subprocess.Popen[str]]


def test_page_is_there_once_the_address_is_told(start: Start) -> None:
    process = start("serve", "--port", "0", "--conversations", "2", "--json")
    assert process.stderr is not None
    url = None
    while url is None:
        line = process.stderr.readline()
        assert line, "it ended"
        found = re.search(r"^Open (\S+) in a browser", line)
        url = found[1] if found else None
    with urllib.request.urlopen(url) as page:
        assert "<title>Coda</title>" in page.read().decode()
    with urllib.request.urlopen(f"{url}/readyz") as ready:
        # A machine that is busy with other things offers fewer.
        assert json.load(ready)["capacity"] in (1, 2)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate()
    assert (process.returncode, json.loads(out)["outcome"]) == (130, "interrupted")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--host", "0.0.0.0"), "no token is set"),
        (("--model", "no/such folder"), "no/such folder"),
        (("--token", "two words"), "token"),
    ],
)
def test_what_cannot_be_served(run: Run, arguments: tuple[str, ...], message: str) -> None:
    told = run("serve", "--port", "0", *arguments)
    assert told.code == 2
    assert message in told.err
    assert "two words" not in told.err
