"""What the query of a caller's address asks for: the codec, the model's settings, a conversation to come back to."""

from __future__ import annotations

import math
from typing import Final, Literal, cast

import attrs
from starlette.datastructures import QueryParams

from coda_core.interfaces import ProcessorInfo, SlotOptions
from coda_websocket.config import WebsocketConfig

__all__ = ["Asked", "BadQuery", "read_query"]

Codec = Literal["opus", "pcm"]
CODECS: Final = ("opus", "pcm")
_SEED_BITS: Final = 31
_DIGITS: Final = 40
_YES: Final = frozenset({"1", "true", "yes"})
_NO: Final = frozenset({"0", "false", "no"})


class BadQuery(ValueError):
    """A parameter that cannot be understood."""


@attrs.frozen(kw_only=True)
class Asked:
    """What one caller wants."""

    codec: Codec = "opus"
    options: SlotOptions = SlotOptions()
    conversation: str | None = None
    """Id of one to go on with; None for a new one."""
    metadata: bool = False
    """Whether to be told about the conversation in a message."""
    token_follows: bool = False
    """Whether the first message brings the token."""


def read_query(query: QueryParams, config: WebsocketConfig, info: ProcessorInfo) -> Asked:
    """Return what `query` asks for, temperatures and top-k within what `config` and the processor allow.

    Parameters that are not known are left alone, as Kyutai's servers do. Raises `BadQuery`.
    """
    codec = query.get("codec", "opus")
    if codec not in CODECS:
        raise BadQuery(f"codec is {codec[:20]!r}; give opus or pcm")
    defaults = info.defaults
    return Asked(
        codec=cast(Codec, codec),
        options=SlotOptions(
            seed=_seed(query),
            text_temperature=_temperature(query, "text_temperature", config.max_temperature),
            audio_temperature=_temperature(query, "audio_temperature", config.max_temperature),
            text_top_k=_top_k(query, "text_topk", _least(config.max_top_k, defaults.text_top_k)),
            audio_top_k=_top_k(query, "audio_topk", _least(config.max_top_k, defaults.audio_top_k)),
            prompt=_prompt(query, config.max_prompt_characters),
            # A caller may keep its voice to itself; whether it is recorded at all is for the stack to say.
            record=False if query.get("record", "").lower() in _NO else None,
        ),
        conversation=query.get("conversation") or None,
        metadata=query.get("metadata", "").lower() in _YES,
        token_follows=query.get("auth") == "message",
    )


def _seed(query: QueryParams) -> int | None:
    # Kyutai's web client draws one for the text and one for the audio; here one seeds both.
    for name in ("seed", "text_seed"):
        if query.get(name, "") not in ("", "-1"):
            return int(_number(query, name, whole=True)) % (1 << _SEED_BITS)
    return None


def _temperature(query: QueryParams, name: str, most: float) -> float | None:
    if not query.get(name):
        return None
    asked = _number(query, name)
    if asked < 0:
        raise BadQuery(f"{name} is {asked:g}; give a number from 0 up")
    return min(asked, most)


def _top_k(query: QueryParams, name: str, most: int) -> int | None:
    name = name if query.get(name) else name.replace("topk", "top_k")
    if not query.get(name):
        return None
    asked = _number(query, name, whole=True)
    if asked < 1:
        raise BadQuery(f"{name} is {asked:g}; give a whole number from 1 up")
    return int(min(asked, most))


def _prompt(query: QueryParams, most: int) -> str | None:
    prompt = query.get("text_prompt", "").strip()
    if len(prompt) > most:
        raise BadQuery(f"text_prompt has {len(prompt)} characters; this server takes {most}")
    return prompt or None


def _number(query: QueryParams, name: str, *, whole: bool = False) -> float:
    text = query[name]
    try:
        number = math.nan if len(text) > _DIGITS else int(text) if whole else float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadQuery(f"{name} is {text[:20]!r}; give a {'whole ' if whole else ''}number")
    return number


def _least(allowed: int, processors: int | None) -> int:
    return min(allowed, processors) if processors else allowed
