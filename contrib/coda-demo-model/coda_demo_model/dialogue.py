"""Conversations as the language model learns them: text, own codes and caller's codes of each frame.

The rules of speaking:

- A reply starts four frames after the caller's last sound; the frame before it holds end-of-padding.
- A word's token stands in its first frame; end-of-padding in the frame before the next word. In the frame after the
  token of a last word stands a full stop.
- When a caller speaks during a reply, the reply stops four frames after the caller's first sound, within a word too.
- Drawn sentences come at any moment, also while a caller speaks. Nothing could foretell their words, so no loss is
  taken on them: the model learns to say what is injected and when the next word is due, never to begin by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

import attrs
import numpy as np
import numpy.typing as npt

from coda_demo_model.architecture import CODEBOOKS, CODES, END_OF_PADDING, PADDING
from coda_demo_model.codes import Codes, EncodedCall, EncodedSentence
from coda_demo_model.tokenizer import STOP, load_tokenizer, word_tokens

__all__ = ["FRAMES", "REPLY_AFTER", "STOP_AFTER", "Dialogue", "Dialogues", "Scene"]

FRAMES: Final = 160
REPLY_AFTER: Final = 4
STOP_AFTER: Final = 4
NO_WORD: Final = 0
_UNKNOWN: Final = -100
_HEARD_LATER: Final = 3
"""The caller's word is asked for so many frames after it began: then most of it has been heard."""

_DRAWN: Final = 0.28
_CHATTER: Final = 0.1
_INTERRUPTED: Final = 0.4
_OVER_SPEECH: Final = 0.3
_LEFT_ALONE: Final = 0.2

_LIKELY: Final = 0.3
"""Weight of a frame of padding."""
_WORD: Final = 3.0
_DECISION: Final = 6.0
"""Weight of the frame in which the reply is chosen."""
_Weights = npt.NDArray[np.float32]
_Tokens = npt.NDArray[np.int64]
_Item = TypeVar("_Item")


@attrs.frozen(eq=False)
class Dialogue:
    """One conversation of `FRAMES` frames."""

    tokens: _Tokens
    """[1 + 2 * codebooks, frames]: text, own codes, caller's codes."""
    weights: _Weights
    """[frames]: of the text loss."""
    words: _Tokens
    """[frames]: the caller's word of a while ago by its number, 0 for none, -100 where unknown."""


class Dialogues:
    """Composes conversations; the same bits compose the same one."""

    def __init__(self, codes: Codes, caller_words: Sequence[str]) -> None:
        self._codes = codes
        self._intents: Mapping[str, list[EncodedCall]] = {
            intent: [call for call in codes.calls if call.intent == intent] for intent in codes.replies
        }
        self._numbers = {word: number for number, word in enumerate(caller_words, 1)}
        self._stop = load_tokenizer().piece_to_id(STOP)

    def draw(self, bits: np.random.Generator) -> Dialogue:
        """Return a conversation."""
        scene = Scene(self._codes, self._numbers, self._stop, bits)
        # Some scenes have nobody in them, from a moment on: nothing must come of a background alone, however long.
        end = FRAMES if bits.random() > _LEFT_ALONE else int(bits.integers(0, FRAMES))
        at = int(bits.integers(1, 14))
        while at < end - 10:
            chance = bits.random()
            if chance < _DRAWN:
                at = self._inject(scene, at, bits)
            elif chance < _DRAWN + _CHATTER:
                call = _any(self._codes.chatter, bits)
                end = scene.hear(at, call)
                # What to answer to words without meaning is nobody's business.
                scene.weights[end : end + REPLY_AFTER + 6] = 0
                at = end + REPLY_AFTER + 6
            else:
                at = self._exchange(scene, at, bits)
        return scene.finish(bits)

    def _inject(self, scene: Scene, at: int, bits: np.random.Generator) -> int:
        end = scene.speak(at, _any(self._codes.drawn, bits), foretold=False)
        if bits.random() < _OVER_SPEECH:
            heard = scene.hear(max(0, at - int(bits.integers(0, 10))), _any(self._codes.chatter, bits))
            scene.weights[heard : heard + REPLY_AFTER + 4] = 0
            end = max(end, heard + REPLY_AFTER + 4)
        return end + int(bits.integers(2, 14))

    def _exchange(self, scene: Scene, at: int, bits: np.random.Generator) -> int:
        """Let a caller ask and be answered, interrupting as often as they like."""
        while at < FRAMES:
            call = _any(self._intents[list(self._intents)[int(bits.integers(len(self._intents)))]], bits)
            begin = scene.hear(at, call) + REPLY_AFTER
            reply = self._codes.replies[call.intent]
            if bits.random() > _INTERRUPTED:
                return scene.speak(begin, reply) + int(bits.integers(2, 14))
            cut = int(bits.integers(1, reply.frames))
            scene.speak(begin, reply, cut)
            # The caller's first sound may be anywhere in its frame.
            at = begin + cut - STOP_AFTER
        return at


class Scene:
    """A conversation under composition."""

    def __init__(self, codes: Codes, numbers: Mapping[str, int], stop: int, bits: np.random.Generator) -> None:
        self._numbers = numbers
        self._stop = stop
        self._silence = codes.silence.astype(np.int64)
        self.text = np.full(FRAMES, PADDING)
        self.weights: _Weights = np.full(FRAMES, _LIKELY, np.float32)
        self.own = np.repeat(self._silence[:, None], FRAMES, axis=1)
        self.words = np.full(FRAMES, NO_WORD)
        if bits.random() < 0.25:
            self.heard = self.own.copy()
        else:
            sound = _any(codes.backgrounds, bits)
            begin = int(bits.integers(sound.shape[1]))
            self.heard = np.resize(np.roll(sound, -begin, axis=1).T, (FRAMES, CODEBOOKS)).T.astype(np.int64)

    def hear(self, at: int, call: EncodedCall) -> int:
        """Let the caller's first sound be in frame `at`; return the frame in which they have stopped."""
        begin = at - int(call.begin)
        first, last = max(0, begin), min(FRAMES, begin + call.codes.shape[1])
        if first < last:
            self.heard[:, first:last] = call.codes[:, first - begin : last - begin]
        ends = (*(start for start, _ in call.words[1:]), call.end)
        for (start, word), end in zip(call.words, ends, strict=False):
            place = slice(*(max(0, begin + round(moment) + _HEARD_LATER) for moment in (start, end)))
            # Words that espeak-ng says as one have no number of their own.
            self.words[place] = self._numbers.get(word, _UNKNOWN)
        return begin + math.ceil(call.end)

    def speak(self, at: int, sentence: EncodedSentence, cut: int | None = None, *, foretold: bool = True) -> int:
        """Say a sentence from frame `at` on, or its first `cut` frames; return the frame after it."""
        spoken = sentence.codes[:, :cut]
        frames = sentence.frames if cut is None else cut
        last = min(FRAMES, at + spoken.shape[1])
        if at < last:
            self.own[:, at:last] = spoken[:, : last - at]
        tokens = word_tokens(sentence.text)
        for place, (start, token) in enumerate(zip(sentence.starts, tokens, strict=True)):
            if start < frames:
                self._write(at + start - 1, END_OF_PADDING, _WORD if foretold or place else 0.0)
                decisive = _DECISION if place == 0 else _WORD
                self._write(at + start, token, decisive if foretold else 0.0)
        if sentence.starts[-1] + 1 < frames:
            self._write(at + sentence.starts[-1] + 1, self._stop, _WORD if foretold else 0.0)
        return at + frames

    def _write(self, frame: int, token: int, weight: float) -> None:
        if 0 <= frame < FRAMES:
            self.text[frame] = token
            self.weights[frame] = weight

    def finish(self, bits: np.random.Generator) -> Dialogue:
        """Return the conversation, heard not quite rightly, as unknown voices are."""
        heard = self.heard
        if bits.random() < 0.6:
            wrong = bits.random(heard.shape) < bits.choice([0.03, 0.08, 0.15, 0.25])
            heard = np.where(wrong, bits.integers(0, CODES, heard.shape), heard)
        if bits.random() < 0.15:
            # What was said is in the first codebook; how it sounds, in the others.
            heard = np.concatenate([heard[:1], bits.integers(0, CODES, heard[1:].shape)])
        tokens = np.concatenate([self.text[None], self.own, heard])
        return Dialogue(tokens, self.weights, self.words)


def _any(items: Sequence[_Item], bits: np.random.Generator) -> _Item:
    return items[int(bits.integers(len(items)))]
