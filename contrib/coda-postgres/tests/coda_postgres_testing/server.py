"""A PostgreSQL server of the tests' own, in a temporary folder, on a Unix socket."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg

from coda_postgres.schema import version_of

__all__ = ["Server"]

_BINARIES: Final = ("/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql*/bin")


def _binary(name: str) -> str:
    found = shutil.which(name)
    folders = sorted(folder for pattern in _BINARIES for folder in Path("/").glob(pattern.lstrip("/")))
    paths = [found, *(str(folder / name) for folder in reversed(folders) if (folder / name).exists())]
    path = next((path for path in paths if path), None)
    if path is None:
        raise RuntimeError(f"PostgreSQL's {name} is not here; install it: apt-get install postgresql")
    return path


class Server:
    """Started with `start`, ended with `stop`, killed with `kill`; its data are there until `remove`."""

    def __init__(self, *, fsync: bool = False) -> None:
        # Short, because a socket's path may have some hundred signs.
        self.folder = Path(tempfile.mkdtemp(prefix="coda-pg-", dir="/tmp"))
        self.data = self.folder / "data"
        self._user = "postgres" if _exists("postgres") else "nobody"
        self._fsync = fsync
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            shutil.chown(self.folder, self._user)
        self._run([_binary("initdb"), "-D", str(self.data), "-U", "coda", "-A", "trust", "-E", "UTF8", "--no-sync"])

    @property
    def url(self) -> str:
        return f"postgresql://coda@/postgres?host={self.folder}"

    def start(self) -> None:
        """Start, and wait until it takes connections."""
        log = (self.folder / "log").open("ab")
        command = [_binary("postgres"), "-D", str(self.data), "-k", str(self.folder), "-c", "listen_addresses="]
        for setting in (
            f"fsync={'on' if self._fsync else 'off'}",
            "full_page_writes=off" if not self._fsync else "full_page_writes=on",
            "shared_buffers=32MB",
            "autovacuum=off",
            "max_connections=60",
        ):
            command += ["-c", setting]
        self._process = subprocess.Popen(command, stdout=log, stderr=log, **self._as_user())  # type: ignore[call-overload]
        log.close()
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=10).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text()) from None

    def stop(self) -> None:
        """End it as an administrator would: connections are cut, and all is written."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it without a chance to write anything."""
        _, *children = self._processes()
        self._end(signal.SIGKILL)
        for child in children:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                continue
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Within the block it takes connections and statements, and does nothing: each of its processes is stopped."""
        stopped: list[int] = []
        try:
            while new := set(self._processes()) - set(stopped):
                for process in sorted(new):
                    os.kill(process, signal.SIGSTOP)
                    stopped.append(process)
            yield
        finally:
            for process in stopped:
                os.kill(process, signal.SIGCONT)

    def empty(self, schema: str, *, drop: bool = False) -> None:
        """Remove all rows of a store's tables, or the tables too."""
        with psycopg.connect(self.url) as connection:
            if drop:
                connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())
            elif version_of(connection, schema):
                for table in ("servers", "conversations", "events", "passages", "blobs", "blob_parts", "erasures"):
                    connection.execute(f"DELETE FROM {schema}.{table}".encode())

    def remove(self) -> None:
        """End it, and remove all it has."""
        if self._process is not None:
            self._end(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def _processes(self) -> list[int]:
        """Its own, and those that it has for connections and other work."""
        assert self._process is not None
        id = self._process.pid
        return [id, *map(int, Path(f"/proc/{id}/task/{id}/children").read_text().split())]

    def _end(self, signal_number: int) -> None:
        assert self._process is not None
        self._process.send_signal(signal_number)
        self._process.wait()
        self._process = None

    def _run(self, command: Sequence[str]) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False, **self._as_user())  # type: ignore[call-overload]
        assert done.returncode == 0, done.stdout + done.stderr

    def _as_user(self) -> dict[str, object]:
        # PostgreSQL does not run as root.
        return {"user": self._user, "group": _group(self._user), "extra_groups": []} if os.geteuid() == 0 else {}


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _group(user: str) -> int:
    return pwd.getpwnam(user).pw_gid
