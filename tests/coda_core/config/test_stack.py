"""What a stack is, before anything is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coda_core.config import Stack

if TYPE_CHECKING:
    from tests.coda_core.conftest import Kit


def test_stacks_are_equal_where_they_say_the_same(kit: Kit) -> None:
    one = Stack(processor=kit.echo(3), source="a.toml", reasons={"processor": "x"})
    assert one == Stack(processor=kit.echo(3))
    assert one != Stack(processor=kit.echo(4))
