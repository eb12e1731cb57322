"""The public contract is the recorded one, so that no change of it goes unnoticed."""

from __future__ import annotations

import warnings

import attrs
import pytest

from coda_core.deprecation import CodaDeprecationWarning, deprecated, moved
from coda_core.events import Opened
from tests import contract


def test_the_contract_is_the_recorded_one() -> None:
    found, recorded = contract.contract().splitlines(), contract.RECORD.read_text(encoding="utf-8").splitlines()
    gone, new = sorted(set(recorded) - set(found)), sorted(set(found) - set(recorded))
    assert found == recorded, (
        f"the public contract has changed.\ngone: {gone}\nnew: {new}\n"
        "Where something is gone or different: is it meant, in CHANGELOG, and warned of for a release "
        "(coda_core.deprecation)? Then: python tests/contract.py"
    )


def test_it_is_the_same_after_somebody_has_looked_at_types() -> None:
    """As whoever reads an event or a setting does, somewhere in a whole run of the tests."""
    before = contract.contract()
    attrs.resolve_types(Opened)
    assert contract.contract() == before


def test_what_is_deprecated_works_and_warns_where_it_is_used() -> None:
    @deprecated(instead="louder", ends="0.3")
    def loud(level: float) -> float:
        return level * 2

    with pytest.warns(
        CodaDeprecationWarning, match=r"loud is deprecated and ends with coda-core 0\.3; use louder"
    ) as told:
        assert loud(2.0) == 4.0
    assert told[0].filename == __file__


def test_a_name_that_moved_is_found_and_warned_of() -> None:
    find = moved("coda_core.old", {"Frame": "coda_core.audio:AudioFrame"}, ends="0.3")
    with pytest.warns(
        CodaDeprecationWarning, match=r"coda_core\.old\.Frame is deprecated .* use coda_core\.audio\.AudioF"
    ):
        assert find("Frame").__name__ == "AudioFrame"
    with pytest.raises(AttributeError, match="has no attribute 'Frames'"):
        find("Frames")


def test_nothing_that_ships_uses_what_is_deprecated() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", CodaDeprecationWarning)
        contract.contract()
