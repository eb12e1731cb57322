"""Memory of this machine, or of the container that this process is kept in."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import attrs
import psutil

__all__ = ["HostMemory", "host_memory"]


@attrs.frozen
class HostMemory:
    """In bytes."""

    total: int
    free: int
    """What could be taken without pushing anything out."""


def host_memory(root: Path = Path("/")) -> HostMemory:
    """Return what this process may come to; in a control group (version 2) with a limit, that is the limit's rest."""
    machine = psutil.virtual_memory()
    total, free = int(machine.total), int(machine.available)
    for group in _groups(root):
        limit, used = _number(group / "memory.max"), _number(group / "memory.current")
        if limit is not None and used is not None:
            total = min(total, limit)
            free = min(free, max(0, limit - used + _cached(group)))
    return HostMemory(total, free)


def _groups(root: Path) -> list[Path]:
    """Return the control groups that this process is in, each inside the next; a limit holds for all within."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    named = [PurePosixPath(line.removeprefix("0::")) for line in lines if line.startswith("0::/")]
    mounted = root / "sys/fs/cgroup"
    return [mounted / str(each).lstrip("/") for path in named for each in (path, *path.parents)]


def _cached(group: Path) -> int:
    """Return the bytes of files that are only kept for a next time, and are dropped where they are in the way."""
    try:
        lines = (group / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))


def _number(path: Path) -> int | None:
    """Return what a file of a control group says; None where it says ``max``, or is not there."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
