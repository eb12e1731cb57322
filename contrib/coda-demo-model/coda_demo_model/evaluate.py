"""Stage `evaluate`: the checkpoint against the evaluation sets, through moshi's own streaming loop."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import soundfile

from coda_demo_model import calling
from coda_demo_model.callers import Call
from coda_demo_model.injecting import Injector
from coda_demo_model.interruptions import judge_interruptions
from coda_demo_model.live import Checkpoint, Conversation, converse, load_checkpoint
from coda_demo_model.recogniser import Recogniser, pick_sentence, word_errors
from coda_demo_model.script import load_script
from coda_demo_model.timing import time_frames
from coda_demo_model.voice import FRAME, SAMPLE_RATE_HZ, say

__all__ = ["MEASURES", "evaluate"]

_LOG: Final = logging.getLogger(__name__)
_BATCH: Final = 50
_ANSWER_S: Final = 6.5
_INJECT_AFTER: Final = 8
_AUDIBLE: Final = 0.02


def evaluate(folder: Path, out: Path, measures: Sequence[str] = ()) -> dict[str, Any]:
    """Measure a checkpoint folder, all measures or those named, and keep figures and sounds in `out`."""
    checkpoint = load_checkpoint(folder)
    out.mkdir(parents=True, exist_ok=True)
    path = out / "figures.json"
    figures: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for name in measures or [name for name in MEASURES if name != "validation"]:
        found = MEASURES[name](checkpoint, out)
        _LOG.info("%s: %s", name, found)
        figures |= found
        path.write_text(json.dumps(figures, indent=1) + "\n")
    return figures


def _answers(checkpoint: Checkpoint, calls: Sequence[Call]) -> list[Conversation]:
    """Return what the model says to calls; those of like length are in a batch."""
    order = sorted(range(len(calls)), key=lambda index: len(calls[index].audio))
    found: dict[int, Conversation] = {}
    for begin in range(0, len(order), _BATCH):
        batch = order[begin : begin + _BATCH]
        seconds = max(len(calls[index].audio) for index in batch) / SAMPLE_RATE_HZ + _ANSWER_S
        heard = calling.heard([calls[index] for index in batch], seconds)
        found |= dict(zip(batch, converse(checkpoint, heard), strict=True))
    return [found[index] for index in range(len(calls))]


def _right_replies(checkpoint: Checkpoint, calls: Sequence[Call], name: str, out: Path) -> dict[str, Any]:
    replies = load_script().replies
    answers = _answers(checkpoint, calls)
    said = [answer.text for answer in answers]
    right = [text == replies[call.intent] for call, text in zip(calls, said, strict=True)]
    engines = ["flite" if call.voice.startswith("flite") else "espeak-ng" for call in calls]
    wrong = [
        f"{call.voice}: {call.text} -> {text}" for call, text, good in zip(calls, said, right, strict=True) if not good
    ]
    (out / f"{name}-wrong.txt").write_text("\n".join(wrong) + "\n")
    figures: dict[str, Any] = {
        f"{name}: right": f"{sum(right)} of {len(right)}",
        f"{name}: sounds before the first word": sum(map(_sounds_too_early, answers)),
    }
    for engine in ("espeak-ng", "flite"):
        of_engine = [good for good, made_by in zip(right, engines, strict=True) if made_by == engine]
        figures[f"{name}: right of {engine}"] = f"{sum(of_engine)} of {len(of_engine)}"
    return figures


def _sounds_too_early(answer: Conversation) -> bool:
    """Return whether there is a sound in a frame before that in which the first word may begin."""
    silent = max(0, answer.words[0].frame - 1) * FRAME if answer.words else len(answer.audio)
    return bool(np.abs(answer.audio[:silent]).max(initial=0) > _AUDIBLE)


def _replies(checkpoint: Checkpoint, out: Path) -> dict[str, Any]:
    """Judge the sound of replies: the first right one to each intent among the validation calls."""
    replies = load_script().replies
    calls = calling.validation_calls()
    sounds: dict[str, npt.NDArray[np.float32]] = {}
    for call, answer in zip(calls, _answers(checkpoint, calls), strict=True):
        if answer.text == replies[call.intent]:
            sounds.setdefault(call.intent, answer.audio)
    for intent, audio in sounds.items():
        soundfile.write(out / f"reply-{intent}.wav", audio, SAMPLE_RATE_HZ)
    texts = [replies[intent] for intent in sounds]
    picked = sum(
        pick_sentence(audio, tuple(replies.values())) == text
        for audio, text in zip(sounds.values(), texts, strict=True)
    )
    made, itself = _recognised(texts, list(sounds.values())), _recognised(texts, [say(text).audio for text in texts])
    return {
        "replies: own sentence picked": f"{picked} of {len(replies)}",
        "replies: words recognised, of the voice itself, share": [
            round(made, 3),
            round(itself, 3),
            round(made / itself, 3),
        ],
    }


def _injected(checkpoint: Checkpoint, out: Path) -> dict[str, Any]:
    sentences = calling.injected_sentences()
    frames = _INJECT_AFTER + max(say(sentence).frames for sentence in sentences) + 12
    quiet = np.zeros((len(sentences), frames * FRAME), np.float32)
    said = converse(checkpoint, quiet, text_hook=Injector(sentences, _INJECT_AFTER))
    sounds = [conversation.audio for conversation in said]
    for number in range(5):
        soundfile.write(out / f"injected-{number}.wav", sounds[number], SAMPLE_RATE_HZ)
    picked = 0
    for place, (sentence, audio) in enumerate(zip(sentences, sounds, strict=True)):
        ten = place // 10 * 10
        picked += pick_sentence(audio, tuple(sentences[ten : ten + 10])) == sentence
    made = _recognised(sentences, sounds)
    itself = _recognised(sentences, [say(sentence).audio for sentence in sentences])
    complete = sum(conversation.text == text for conversation, text in zip(said, sentences, strict=True))
    return {
        "injected: picked out of ten": f"{picked} of {len(sentences)}",
        "injected: said to the end": f"{complete} of {len(sentences)}",
        "injected: words recognised, of the voice itself, share": [
            round(made, 3),
            round(itself, 3),
            round(made / itself, 3),
        ],
    }


def _recognised(texts: Sequence[str], sounds: Sequence[npt.NDArray[np.float32]]) -> float:
    recogniser = Recogniser(load_script().vocabulary)
    errors = sum(word_errors(text.split(), recogniser.words(audio)) for text, audio in zip(texts, sounds, strict=True))
    return 1 - errors / sum(len(text.split()) for text in texts)


def _quiet(checkpoint: Checkpoint, out: Path) -> dict[str, Any]:
    sounds = calling.quiet_sounds()
    said = converse(checkpoint, np.stack(list(sounds.values())))
    spoke = {name: conversation.text for name, conversation in zip(sounds, said, strict=True) if conversation.words}
    loudest = max(float(np.sqrt(np.mean(conversation.audio**2))) for conversation in said)
    return {"quiet: spoke": spoke, "quiet: sounds": len(sounds), "quiet: loudest output rms": round(loudest, 5)}


def _codec(checkpoint: Checkpoint, out: Path) -> dict[str, Any]:
    """Judge the codec alone, on the replies as the voice says them."""
    import torch

    sounds, texts = [], list(load_script().replies.values())
    noise_db: list[float] = []
    for text in texts:
        audio = np.pad(say(text).audio, (10 * FRAME, 4 * FRAME))
        with torch.no_grad():
            back = checkpoint.mimi.decode(checkpoint.mimi.encode(torch.from_numpy(audio)[None, None]))[0, 0].numpy()
        sounds.append(back[: len(audio)])
        noise_db.append(10 * math.log10(float((audio**2).sum() / ((audio - sounds[-1]) ** 2).sum())))
    soundfile.write(out / "codec.wav", sounds[0], SAMPLE_RATE_HZ)
    soundfile.write(out / "voice.wav", say(texts[0]).audio, SAMPLE_RATE_HZ)
    made, itself = _recognised(texts, sounds), _recognised(texts, [say(text).audio for text in texts])
    return {
        "codec: signal to noise dB": round(float(np.mean(noise_db)), 2),
        "codec: words recognised, of the voice itself, share": [
            round(made, 3),
            round(itself, 3),
            round(made / itself, 3),
        ],
    }


MEASURES: Final[Mapping[str, Callable[[Checkpoint, Path], dict[str, Any]]]] = {
    "validation": lambda checkpoint, out: _right_replies(checkpoint, calling.validation_calls(), "validation", out),
    "codec": _codec,
    "trained": lambda checkpoint, out: _right_replies(checkpoint, calling.trained_calls(), "trained phrasings", out),
    "unseen": lambda checkpoint, out: _right_replies(checkpoint, calling.unseen_calls(), "unseen phrasings", out),
    "replies": _replies,
    "injected": _injected,
    "interrupted": lambda checkpoint, out: judge_interruptions(checkpoint),
    "quiet": _quiet,
    "speed": lambda checkpoint, out: time_frames(checkpoint),
}
"""What can be measured; `validation` is for choosing and is not part of the card."""
