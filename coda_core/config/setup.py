"""What of a stack a recorded conversation depends on, as tables that a stack can be made of again."""

from __future__ import annotations

from typing import Any, Final

from coda_core.config.schema import settings_of
from coda_core.config.stack import Chosen, ResolvedStack
from coda_core.fields import fields_of

__all__ = ["setup_of"]

_HEARING: Final = "speech_"
"""What the settings of a streaming manager begin with that say what counts as speech."""


def setup_of(stack: ResolvedStack, processor: Chosen) -> dict[str, Any]:
    """Return the tables of `processor`, the one that runs, of the extractors, and of what counts as speech.

    See `coda_core.events.Opened.setup`.
    """
    hearing = {name: value for name, value in _table(stack.streaming_manager).items() if name.startswith(_HEARING)}
    return {
        "base_dir": str(stack.base_dir),
        "processor": _table(processor),
        "streaming_manager": hearing,
        "monologue_extractor": [_table(extractor) for extractor in stack.monologue_extractors],
    }


def _table(chosen: Chosen) -> dict[str, Any]:
    """Return a component's table, with what is not left to its default and is no secret."""
    secret = {field.name for field in fields_of(type(chosen.config)) if field.known.secret}
    settings = settings_of(chosen.config)
    given = {name: value for name, value in settings.items() if value is not None and name not in secret}
    return {"use": chosen.registered.component.name, **given}
