"""On whose behalf code on the event loop runs, so that messages can name a plugin."""

from contextvars import ContextVar
from typing import Final

__all__ = ["OWNER"]

OWNER: Final[ContextVar[str]] = ContextVar("OWNER", default="")
"""Set while a plugin's ``coda_started`` is called and while a transport runs, and so in the tasks that these start."""
