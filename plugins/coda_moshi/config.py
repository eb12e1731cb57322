"""Settings of the processors `moshi` and `echo` and of the extractor `inner-monologue`."""

from __future__ import annotations

from typing import Final, Literal

import attrs

from coda_core.settings import setting

__all__ = ["EchoConfig", "InnerMonologueConfig", "MoshiConfig"]

_ALLOCATION: Final = (
    r"(?=.*[1-9])"  # not nothing
    r"(?:\d+(?:\.\d+)?\s*(?:GB|GiB|MB|MiB)|(?:100(?:\.0+)?|\d{1,2}(?:\.\d+)?)\s*%)"
)


@attrs.frozen(kw_only=True)
class MoshiConfig:
    """Which checkpoint to serve, on what, for how many, and how it samples unless a conversation asks otherwise."""

    model_path: str = setting(
        "kyutai/moshiko-pytorch-bf16",
        help="a folder with a checkpoint, a hub repository (owner/name), 'demo' for a small one that speaks and comes "
        "with Coda, or 'tiny' for a random one",
    )
    revision: str | None = setting(None, help="branch, tag or commit of the hub repository; its newest by default")
    lora_path: str | None = setting(
        None, help="LoRA weights (.safetensors), or a folder with lora.safetensors and its config.json"
    )
    fuse_lora: bool = setting(True, help="add the LoRA weights into the model's own, which is faster")
    allow_pickle: bool = setting(
        False, help="also load weights that are not safetensors; such files can run code, so only from who you trust"
    )
    device: str = setting(
        "auto", help="'cpu', 'cuda', 'cuda:N', or 'auto' for CUDA where there is one", pattern=r"auto|cpu|cuda(:\d+)?"
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = setting(
        "auto", help="precision of the language model; 'auto' is bfloat16 on CUDA and float32 on a CPU"
    )
    quantize: bool = setting(
        False,
        help="store the language model's linear layers in 8 bits: half the memory, less precise; CUDA only, and wants "
        "the package bitsandbytes",
    )
    context: int | None = setting(
        None,
        help="steps of 80 ms that the language model remembers; fewer than the checkpoint's, the default, leave room "
        "for more conversations",
        minimum=25,
        maximum=1_000_000,
    )
    vram_allocation: str | None = setting(
        None,
        help="memory it may take, such as '8GB' (10^9 bytes), '7.5GiB' (2^30) or '60%' of all, more than nothing and "
        "100% at most; by default what is free",
        pattern=_ALLOCATION,
    )
    pressure_at: float = setting(
        0.9,
        help="share of the memory left when it was loaded that may be taken before new conversations are refused",
        minimum=0.05,
        maximum=1.0,
    )
    conversations: int = setting(1, help="how many conversations can be live at once", minimum=1, maximum=1024)
    threads: int | None = setting(
        None,
        help="CPU threads of one operator, for all of torch in this process; by default 1 for a small model on a CPU",
        minimum=1,
        maximum=1024,
    )
    fast_step: bool = setting(
        True,
        help="on a CPU, step leaner versions of moshi's modules: the same tokens in about half the time; "
        "on CUDA the stock modules and their graphs serve either way",
    )
    seed: int | None = setting(
        None, help="seed of a conversation that brings none of its own; by default one is drawn, and recorded, for each"
    )
    greedy: bool = setting(False, help="always take the likeliest token")
    text_temperature: float | None = setting(
        None,
        help="temperature of text tokens, 0 is greedy; the checkpoint's own by default, else 0.7",
        minimum=0,
        maximum=100,
    )
    audio_temperature: float | None = setting(
        None,
        help="temperature of audio tokens, 0 is greedy; the checkpoint's own by default, else 0.8",
        minimum=0,
        maximum=100,
    )
    text_top_k: int | None = setting(
        None,
        help="text tokens to choose among, 0 for all; also the most that a conversation may ask for; "
        "the checkpoint's own by default, else 25",
        minimum=0,
    )
    audio_top_k: int | None = setting(
        None,
        help="audio tokens to choose among, 0 for all; also the most that a conversation may ask for; "
        "the checkpoint's own by default, else 250",
        minimum=0,
    )
    prompt: str | None = setting(
        None, help="text that the model takes in before it hears a caller, unless a conversation brings its own"
    )
    voice: str | None = setting(
        None, help="audio file, up to 60 s, whose voice the model takes on before that text, relative to the stack"
    )
    greeting: bool = setting(True, help="off keeps the model silent until the caller has spoken")
    prompts_kept: int = setting(
        8,
        help="how many prompts of conversations are kept as they left the model, so that the next one opens at once; "
        "the stack's own is kept beside them",
        minimum=1,
        maximum=10_000,
    )


@attrs.frozen
class EchoConfig:
    """Settings of the processor `echo`."""

    delay_frames: int = setting(
        1, help="how much later the caller is heard again, in frames of 80 ms", minimum=0, maximum=125
    )
    conversations: int = setting(8, help="how many conversations can be live at once", minimum=1, maximum=1024)


@attrs.frozen
class InnerMonologueConfig:
    """Settings of the extractor `inner-monologue`."""

    mode: Literal["continuous", "buffered", "on-demand"] = setting(
        "continuous",
        help="continuous delivers words, buffered delivers phrases, on-demand delivers nothing until it is asked",
    )
    confidence_threshold: float = setting(
        0.0, help="text with a confidence below this is withheld, and counted in the log", minimum=0.0, maximum=1.0
    )
    retention_seconds: float = setting(300.0, help="how long text can be asked for, in seconds", minimum=0.0)
    retention_words: int = setting(
        2000, help="how many words (phrases when buffered) can be asked for at most", minimum=0, maximum=1_000_000
    )
    settle_frames: int = setting(
        3, help="frames of 80 ms without text after which a word is complete", minimum=1, maximum=25
    )
    pause_seconds: float = setting(
        1.0, help="buffered: time without a new piece of text that ends a phrase", minimum=0.08, maximum=60.0
    )
    phrase_words: int = setting(40, help="buffered: words in a phrase at most", minimum=1, maximum=1000)
