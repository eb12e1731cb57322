from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from coda_moshi.host_memory import host_memory


def cgroup(root: Path, path: str, **files: str) -> None:
    group = root / "sys/fs/cgroup" / path
    group.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (group / f"memory.{name}").write_text(content)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine whose processes are in the group ``/pod/box``."""
    proc = tmp_path / "proc/self"
    proc.mkdir(parents=True)
    (proc / "cgroup").write_text("9:name=systemd:/\n0::/pod/box\n")
    return tmp_path


def test_a_machine_without_limits(tmp_path: Path) -> None:
    memory = psutil.virtual_memory()
    found = host_memory(tmp_path)
    assert found.total == memory.total
    assert 0 < found.free <= memory.total


def test_a_container_is_what_counts(root: Path) -> None:
    cgroup(root, "pod/box", max="1000000\n", current="300000\n")
    found = host_memory(root)
    assert (found.total, found.free) == (1_000_000, 700_000)


def test_files_that_are_only_kept_do_not_count(root: Path) -> None:
    cgroup(root, "pod/box", max="1000000", current="900000", stat="anon 5\ninactive_file 250000\nactive_file 7\n")
    assert host_memory(root).free == 350_000


def test_the_tightest_of_all_groups_counts(root: Path) -> None:
    cgroup(root, "pod/box", max="max\n", current="300000")
    cgroup(root, "pod", max="500000", current="499000")
    found = host_memory(root)
    assert (found.total, found.free) == (500_000, 1000)


def test_more_than_allowed_leaves_nothing(root: Path) -> None:
    cgroup(root, "pod/box", max="1000", current="2000")
    assert host_memory(root).free == 0
