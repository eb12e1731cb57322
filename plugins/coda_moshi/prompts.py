"""Which prompt a conversation has, and what is left of those that were taken in before."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import attrs

from coda_core.errors import ConversationError
from coda_core.interfaces import SlotOptions
from coda_moshi.prompt_cache import PromptCache
from coda_moshi.prompting import Prompt, Voice
from coda_moshi.wording import Wording

__all__ = ["Beginning", "Prompts"]


@attrs.frozen(kw_only=True)
class Beginning:
    """How a conversation begins where it does not say."""

    prompt: str | None
    voice: str | None
    greeting: bool
    prompts_kept: int
    base_dir: Path
    """Folder that a voice is looked for in."""

    def added_to(self, options: SlotOptions) -> SlotOptions:
        """Return `options` with what this says of them."""
        return attrs.evolve(options, prompt=self.prompt, voice=self.voice, greeting=self.greeting)


class Prompts:
    """The prompts of a model whose frames have `frame_samples` samples."""

    def __init__(
        self, beginning: Beginning, wording: Wording, *, padding: int, sample_rate_hz: int, frame_samples: int
    ) -> None:
        self.kept = PromptCache(beginning.prompts_kept)
        self._beginning = beginning
        self._wording = wording
        self._padding = padding
        self._rate = sample_rate_hz
        self._frame = frame_samples

    def asked(self, options: SlotOptions) -> Prompt | None:
        """Return what a conversation takes in first; raises `ConversationError` for what cannot be read."""
        text = self._beginning.prompt if options.prompt is None else options.prompt
        name = self._beginning.voice if options.voice is None else options.voice
        voice = self._voice(name) if name else None
        return Prompt.made(text or "", voice, self._wording, self._padding, self._frame)

    def greets(self, options: SlotOptions) -> bool:
        """Return whether the model may speak before its caller does."""
        return self._beginning.greeting if options.greeting is None else options.greeting

    def _voice(self, name: str) -> Voice:
        path = self._beginning.base_dir / Path(name).expanduser()
        try:
            found = path.stat()
        except OSError as error:
            raise ConversationError(
                f"the voice {path} cannot be read: {error.strerror}. Give an audio file."
            ) from error
        return _read(path, found.st_mtime_ns, found.st_size, self._rate, self._frame)


@lru_cache(maxsize=8)
def _read(path: Path, changed_ns: int, size: int, sample_rate_hz: int, frame_samples: int) -> Voice:
    """Read a file once for as long as it stays as it is."""
    return Voice.read(path, sample_rate_hz, frame_samples)
