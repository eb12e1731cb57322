"""What a model takes in before it hears its caller: a voice, and a text.

One step a frame: first the voice, encoded by the codec and laid into the model's mouth under padding; a short silence;
the pieces of the text, one in each frame, under silence; and a silence again. All of the model's text and audio is
given, so nothing is drawn: what it has taken in depends on the prompt and the checkpoint and on no seed or
temperature. (This is how NVIDIA's PersonaPlex, a descendant of Moshi, was taught its roles; others take less from it.)
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final, Self

import attrs
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from coda_core.errors import ConversationError
from coda_moshi.wording import Wording

__all__ = ["Prompt", "Voice"]

_GAP_FRAMES: Final = 6
"""Half a second of silence behind each part."""
_MOST_VOICE_S: Final = 60.0


@attrs.frozen(eq=False)
class Voice:
    """Recorded speech, cut into frames."""

    frames: NDArray[np.float32]
    """``[frames, frame_samples]``"""

    @classmethod
    def read(cls, path: Path, sample_rate_hz: int, frame_samples: int) -> Self:
        """Read an audio file that libsndfile knows; raises `ConversationError` where that cannot be done."""
        try:
            with soundfile.SoundFile(path) as file:
                seconds = file.frames / file.samplerate
                if not 0 < seconds <= _MOST_VOICE_S:
                    raise ConversationError(
                        f"the voice {path} lasts {seconds:.1f} s; give a recording of up to {_MOST_VOICE_S:.0f} s, "
                        "ten are plenty"
                    )
                recorded = file.read(dtype="float32", always_2d=True).mean(axis=1)
                rate = file.samplerate
        except (OSError, soundfile.LibsndfileError) as error:
            raise ConversationError(f"the voice {path} cannot be read ({error}): give an audio file") from error
        pcm = np.nan_to_num(soxr.resample(recorded, rate, sample_rate_hz)).clip(-1.0, 1.0)
        frames = -(-len(pcm) // frame_samples)
        whole = np.zeros(frames * frame_samples, np.float32)
        whole[: len(pcm)] = pcm
        return cls(whole.reshape(frames, frame_samples))


@attrs.frozen(eq=False)
class Prompt:
    """The steps of a prompt."""

    tokens: tuple[int, ...]
    """The text token of each step."""
    voice: NDArray[np.float32]
    """``[frames, frame_samples]``: what the model says in the first steps; in all others it is silent."""
    key: str
    """Equal for equal prompts."""

    @classmethod
    def made(cls, text: str, voice: Voice | None, wording: Wording, padding: int, frame_samples: int) -> Self | None:
        """Return a prompt's steps, None where it has none; raises `ConversationError` for a text without pieces."""
        frames = np.zeros((0, frame_samples), np.float32) if voice is None else voice.frames
        tokens: list[int] = []
        if len(frames):
            tokens += [padding] * (len(frames) + _GAP_FRAMES)
        if text.strip():
            tokens += (*wording.written(text), *[padding] * _GAP_FRAMES)
        if not tokens:
            return None
        digest = hashlib.sha256(np.asarray(tokens, np.int64).tobytes())
        digest.update(frames.tobytes())
        return cls(tuple(tokens), frames, digest.hexdigest())

    def pcm(self, step: int) -> NDArray[np.float32] | None:
        """Return the frame of voice that a step brings, ``[frame_samples]``, None where it brings silence."""
        return self.voice[step] if step < len(self.voice) else None
