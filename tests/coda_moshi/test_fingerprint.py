from __future__ import annotations

from pathlib import Path

import pytest

from coda_moshi import fingerprint as module
from coda_moshi.fingerprint import fingerprint


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files above 100 kB count as large."""
    monkeypatch.setattr(module, "WHOLE_BYTES", 100_000)
    monkeypatch.setattr(module, "_SAMPLES", 5)
    monkeypatch.setattr(module, "_SAMPLE_BYTES", 1000)


def test_it_is_content_order_and_facts(tmp_path: Path) -> None:
    one, two, same = (tmp_path / name for name in ("one", "two", "same"))
    for path, content in ((one, b"1"), (two, b"2"), (same, b"1")):
        path.write_bytes(content)
    usual = fingerprint([one, two], ["float32"])
    assert len(usual) == 32
    assert fingerprint([same, two], ["float32"]) == usual
    others = [
        fingerprint([two, one], ["float32"]),
        fingerprint([one], ["float32"]),
        fingerprint([one, two], ["bfloat16"]),
        fingerprint([one, two], ["float", "32"]),
    ]
    assert usual not in others
    assert len(set(others)) == 4


@pytest.mark.usefixtures("large")
def test_a_large_file_is_sampled_from_its_first_byte_to_its_last(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    content = bytearray(200_000)
    path.write_bytes(content)
    usual = fingerprint([path], [])
    seen = set()
    for place in (0, 999, 1000, 49_750, 99_500, 100_499, 199_000, 199_999):
        changed = bytearray(content)
        changed[place] = 1
        path.write_bytes(changed)
        if fingerprint([path], []) != usual:
            seen.add(place)
    assert seen == {0, 999, 49_750, 99_500, 100_499, 199_000, 199_999}
    path.write_bytes(bytes(200_001))
    assert fingerprint([path], []) != usual
