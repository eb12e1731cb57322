"""Tells whether the process that writes to a conversation is alive."""

from __future__ import annotations

import os
import sys
import uuid
from pathlib import Path

__all__ = ["Writer"]

if sys.platform != "win32":
    import fcntl


class Writer:
    """A mark beside the database that lasts as long as its process: a file with a lock, which the system takes away.

    Not on Windows, where there is no such lock: there every other writer counts as gone.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._handle: int | None = None
        self.token = uuid.uuid4().hex
        """What marks a conversation as written to by this one."""

    def claim(self) -> None:
        """Make the mark, where it is not made yet. Raises OSError."""
        if self._handle is None and sys.platform != "win32":
            mark = self._mark(self.token)
            fresh = mark.with_name(f"{mark.name}.new")
            handle = os.open(fresh, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(handle, fcntl.LOCK_EX)
            # Under its name it is never seen without its lock.
            fresh.rename(mark)
            self._handle = handle

    def release(self) -> None:
        """Take the mark away."""
        if self._handle is not None:
            self._mark(self.token).unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = None

    def alive(self) -> set[str]:
        """Return the marks of the other writers that are alive. Those of dead ones are removed."""
        prefix = self._mark("").name
        marks = [path.name for path in self._database.parent.glob(f"{prefix}*") if path.suffix != ".new"]
        return {token for mark in marks if self._other_is_alive(token := mark.removeprefix(prefix))}

    def _other_is_alive(self, token: str) -> bool:
        if token == self.token or sys.platform == "win32":
            return False
        mark = self._mark(token)
        try:
            handle = os.open(mark, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        mark.unlink(missing_ok=True)
        return False

    def _mark(self, token: str) -> Path:
        return self._database.with_name(f".{self._database.name}.writer-{token}")
