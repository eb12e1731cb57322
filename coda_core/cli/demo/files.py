"""The files that a demo leaves."""

from __future__ import annotations

import os
from pathlib import Path

from coda_core.errors import CodaError

__all__ = ["DemoFiles"]


class DemoFiles:
    """The folder of a demo, and what lies in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._database_is_new = not os.path.lexists(self.database)
        self._made: list[Path] = []

    @property
    def reply(self) -> Path:
        return self.folder / "reply.wav"

    @property
    def conversation(self) -> Path:
        return self.folder / "conversation.wav"

    @property
    def transcript(self) -> Path:
        return self.folder / "transcript.json"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    @property
    def database(self) -> Path:
        return self.folder / "conversations.db"

    def all(self) -> dict[Path, str]:
        """Return every file and what it holds."""
        return {
            self.report: "the conversation to look at and listen to, in a browser",
            self.reply: "Moshi's voice",
            self.conversation: "both: the caller on the left, Moshi on the right",
            self.transcript: "Moshi's words, with times and confidences",
            self.database: "the conversation, event by event",
        }

    def prepare(self) -> None:
        """Make the folder; raises `CodaError` where that cannot be done."""
        missing = [each for each in (self.folder, *self.folder.parents) if not os.path.lexists(each)]
        try:
            for folder in reversed(missing):
                folder.mkdir()
                self._made.append(folder)
            if not self.folder.is_dir():
                raise CodaError(f"{self.folder} is not a folder; give another name with --output")
        except OSError as error:
            raise CodaError(
                f"the folder {self.folder} cannot be made: {error.strerror}; give another one with --output"
            ) from None

    def withdraw(self) -> None:
        """Remove what was made for a conversation that never began: an empty database, and empty folders."""
        if not self._made and not self.folder.is_dir():
            return
        if self._database_is_new:
            for suffix in ("", "-wal", "-shm"):
                self.database.with_name(self.database.name + suffix).unlink(missing_ok=True)
        for folder in reversed(self._made):
            if not any(folder.iterdir()):
                folder.rmdir()
