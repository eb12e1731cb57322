from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from coda_core import CodaError, Kernel
from coda_core.testing.conformance import TransportConformance

from coda_example.register import ExampleConfig, coda_register_transports


class TestContract(TransportConformance):
    component = coda_register_transports()[0]

    def config(self, folder: Path) -> Any:
        return ExampleConfig(path=folder / "said.txt")


def test_writes_what_is_said(
    coda_kernel: Callable[..., Kernel], coda_config: Callable[..., Any], tmp_path: Path
) -> None:
    """Both fixtures come with Coda: the kernel's processor says "hello", "world", "hello", "world"..."""

    async def serve() -> None:
        source = coda_config("audio_source", "silence", duration_s=0.4)
        async with coda_kernel(audio_source=source, transport=[ExampleConfig(tmp_path / "said.txt")]) as kernel:
            await kernel.serve()

    asyncio.run(serve())
    lines = (tmp_path / "said.txt").read_text().splitlines()
    assert [line.split()[2:] for line in lines] == [["moshi:", "hello"], ["moshi:", "world"], ["moshi:", "hello"]]


def test_a_file_that_cannot_be_written_is_named(coda_kernel: Callable[..., Kernel], tmp_path: Path) -> None:
    async def start() -> None:
        async with coda_kernel(transport=[ExampleConfig(tmp_path / "missing" / "said.txt")]):
            raise AssertionError("it has started")

    with pytest.raises(CodaError, match=r"said\.txt cannot be written"):
        asyncio.run(start())
