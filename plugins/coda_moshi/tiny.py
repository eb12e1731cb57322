"""The checkpoint that ``model_path = "tiny"`` selects: the released architecture with random weights.

A complete checkpoint folder of about two megabytes in the released file format, made on this machine from a seed and
loaded like any other. It shows that everything around a model works; what it says is noise and nonsense words.

It keeps the released structure (Mimi with a split residual quantiser and a transformer on each side, a temporal
transformer, a depth transformer with weights of its own for each codebook, two audio streams, acoustic codebooks
delayed by one step) at sizes at which two CPU cores serve 50 conversations. One thing is left out: its convolutions
have no residual units, whose pointwise convolution at the full audio rate would cost a third of such a step.

Weights are draws of a NumPy bit generator times one factor, and the tokenizer comes from counts, so every machine
makes the same bytes. Three choices keep random weights from being dull: padding and end-of-padding share a direction
with all embeddings, so that they win as often as in speech; byte pieces get no weight, so that words are made of
letters; first and last convolution set the levels at which the codec hears and speaks.
"""

from __future__ import annotations

import io
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import sentencepiece
import torch
from moshi.models import LMModel, MimiModel, loaders
from safetensors.torch import save_file

from coda_core.errors import ModelError

__all__ = ["LM_CONFIG", "MIMI_CONFIG", "tiny_checkpoint", "write_checkpoint"]

RECIPE: Final = 1
"""Raised whenever a change here changes the files: an older folder in somebody's cache is then left alone."""

SEED: Final = 4
END_OF_PADDING: Final = 0
PADDING: Final = 3

SHARED: Final = 4
"""Channels that carry the direction which the embeddings and the rows of the two paddings share."""

NOT_ARGUMENTS: Final = frozenset(
    {"model_type", "moshi_name", "mimi_name", "mimi_config_name", "tokenizer_name", "lm_gen_config", "coda"}
)
"""Keys of ``config.json`` that are not arguments of the language model."""

LM_CONFIG: Final[Mapping[str, Any]] = {
    "model_type": "moshi",
    "moshi_name": "model.safetensors",
    "mimi_name": "mimi.safetensors",
    "mimi_config_name": "mimi_config.json",
    "tokenizer_name": "tokenizer.model",
    "lm_gen_config": {"temp": 0.8, "temp_text": 0.7, "top_k": 25, "top_k_text": 25},
    "dim": 64,
    "text_card": 512,
    "existing_text_padding_id": PADDING,
    "n_q": 8,
    "dep_q": 4,
    "card": 256,
    "num_heads": 4,
    "num_layers": 2,
    "hidden_scale": 3.0,
    "causal": True,
    "layer_scale": None,
    "context": 50,
    "max_period": 10000,
    "gating": "silu",
    "norm": "rms_norm_f32",
    "positional_embedding": "rope",
    "depformer_dim": 32,
    "depformer_dim_feedforward": 96,
    "depformer_num_heads": 2,
    "depformer_num_layers": 1,
    "depformer_layer_scale": None,
    "depformer_multi_linear": True,
    "depformer_context": 4,
    "depformer_max_period": 10000,
    "depformer_gating": "silu",
    "depformer_pos_emb": "none",
    "depformer_weights_per_step": True,
    "delays": [0, 0, 1, 1, 1, 0, 1, 1, 1],
}

MIMI_CONFIG: Final[Mapping[str, Any]] = {
    "sample_rate": 24000,
    "channels": 1,
    "frame_rate": 12.5,
    "seanet": {
        "channels": 1,
        "dimension": 32,
        "causal": True,
        "n_filters": 2,
        "n_residual_layers": 0,
        "activation": "ELU",
        "compress": 2,
        "dilation_base": 2,
        "disable_norm_outer_blocks": 0,
        "kernel_size": 7,
        "residual_kernel_size": 3,
        "last_kernel_size": 3,
        "norm": "none",
        "pad_mode": "constant",
        "ratios": [4, 5, 6, 8],
        "true_skip": True,
    },
    "quantizer": {"dimension": 32, "n_q": 4, "bins": 256, "input_dimension": 32, "output_dimension": 32},
    "transformer": {
        "d_model": 32,
        "num_heads": 2,
        "num_layers": 1,
        "causal": True,
        "layer_scale": 0.1,
        "context": 25,
        "conv_layout": True,
        "max_period": 10000,
        "gating": "none",
        "norm": "layer_norm",
        "positional_embedding": "rope",
        "dim_feedforward": 64,
        "input_dimension": 32,
        "output_dimensions": [32],
    },
}

# What the tokenizer learns its pieces from.
TEXT: Final = """
hello there how are you doing today i am glad that you called because i was just thinking about the sea
the morning is cold and the kitchen smells of coffee and bread while somebody plays the piano next door
would you like to hear a story about a small boat that wanted to see the other side of the world
yes of course we can talk about that for as long as you want and then we will look for something else
my favourite season is autumn when the leaves turn red and the evenings begin a little earlier every day
no i do not think so but perhaps you are right and we should ask again tomorrow when they open
tell me more about your garden and the music that you listen to when you are working there alone
that sounds wonderful and a bit strange so where did you find it and what did your brother say about it
people often forget how quiet a street can be at night after heavy snow has fallen on the roofs
good question let me think for a moment before giving you an answer that is either true or useful
numbers such as one two three four five six seven eight nine and ten are easy to count on fingers
thank you very much it was nice to meet you goodbye and have a pleasant journey back to the city
"""


def tiny_checkpoint(cache_dir: Path) -> Path:
    """Return the folder of the tiny checkpoint, made first where it is not there.

    Other processes may do the same at the same time: the folder appears under its name when it is complete.
    Raises `ModelError` where `cache_dir` cannot be written.
    """
    folder = cache_dir / f"tiny-moshi-{RECIPE}"
    if folder.is_dir():
        return folder
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=cache_dir))
        try:
            write_checkpoint(making)
            # Somebody else may have been faster: theirs is the same, so it stays.
            if not folder.is_dir():
                making.rename(folder)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    except OSError as error:
        if folder.is_dir():
            return folder
        raise ModelError(
            f"the tiny checkpoint cannot be written to {cache_dir}: {error.strerror or error}. "
            "Make that folder writable, or choose another cache folder."
        ) from error
    return folder


def write_checkpoint(
    folder: Path,
    *,
    seed: int = SEED,
    lm: Mapping[str, Any] = LM_CONFIG,
    mimi: Mapping[str, Any] = MIMI_CONFIG,
) -> None:
    """Write config, codec, language model and tokenizer into an existing folder; `lm` and `mimi` give the sizes.

    `lm` is the whole of ``config.json`` and `mimi` of the file that its ``mimi_config_name`` names.
    """
    arguments = {key: value for key, value in lm.items() if key not in NOT_ARGUMENTS}
    tokenizer = _train_tokenizer(int(lm["text_card"]))
    bits = np.random.Generator(np.random.PCG64(seed))
    codec = loaders.get_mimi(None, dict(mimi), num_codebooks=int(lm["dep_q"]))
    model = loaders.get_moshi_lm(None, arguments, device="cpu", dtype=torch.float32)
    with torch.no_grad():
        _fill_codec(codec, bits)
        _fill_language_model(model, sentencepiece.SentencePieceProcessor(model_proto=tokenizer), bits)
    (folder / str(lm["tokenizer_name"])).write_bytes(tokenizer)
    (folder / str(lm["mimi_config_name"])).write_text(json.dumps(dict(mimi), indent=1))
    save_file(codec.state_dict(), folder / str(lm["mimi_name"]))
    save_file(model.state_dict(), folder / str(lm["moshi_name"]))
    (folder / "config.json").write_text(json.dumps(dict(lm), indent=1))


def _train_tokenizer(size: int) -> bytes:
    """Return a SentencePiece model of `size` pieces with the released one's special ids and byte pieces."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT.strip().splitlines()),
        model_writer=model,
        vocab_size=size,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=PADDING,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def _draw(bits: np.random.Generator, weight: torch.Tensor, deviation: float) -> torch.Tensor:
    """Return uniform values of mean 0 and standard deviation `deviation`, shaped as `weight`."""
    values = bits.random(tuple(weight.shape), dtype=np.float32) - np.float32(0.5)
    return torch.from_numpy(values * np.float32(deviation * 12**0.5))


def _fill_codec(codec: MimiModel, bits: np.random.Generator) -> None:
    """Fill Mimi so that variances stay about what they are from layer to layer."""
    # The first hears speech far above the biases; the last leaves the voice at an RMS of about 0.1.
    levels = {codec.encoder.model[0].conv.conv: 4.0, codec.decoder.model[-1].conv.conv: 0.06}
    of_weight = {module.weight: level for module, level in levels.items()}
    for name, weight in codec.state_dict(keep_vars=True).items():
        if name.endswith(("_initialized", "cluster_usage")):
            weight.fill_(1.0)
        elif name.endswith("embedding_sum"):
            weight.copy_(_draw(bits, weight, 0.5))
        elif name.endswith("bias") and "norm" not in name:
            weight.copy_(_draw(bits, weight, 0.1))
        elif weight.dim() > 1:
            gain = 1.3 if "model" in name else 1.0
            weight.copy_(_draw(bits, weight, of_weight.get(weight, 1.0) * gain * _inputs(name, weight) ** -0.5))


def _inputs(name: str, weight: torch.Tensor) -> int:
    """Return how many inputs are summed into one output of a layer of the codec."""
    if "convtr" not in name:
        return weight[0].numel()
    # A sample of these transposed convolutions is reached by two taps of each input channel of its group.
    return 2 * weight.shape[0] if weight.shape[1] > 1 else 2


def _fill_language_model(
    model: LMModel, tokenizer: sentencepiece.SentencePieceProcessor, bits: np.random.Generator
) -> None:
    """Fill the language model so that its text stream is about half padding."""
    for name, weight in model.state_dict(keep_vars=True).items():
        if "norm" in name:
            continue
        if "emb" in name:
            weight.copy_(_draw(bits, weight, 0.5))
        elif name.startswith(("linears", "text_linear")):
            weight.copy_(_draw(bits, weight, 0.35))
        else:
            weight.copy_(_draw(bits, weight, (0.5 if "out" in name else 1.0) * weight.shape[-1] ** -0.5))
        if name.startswith(("emb", "text_emb")):
            weight[:, :SHARED] += 0.6
    text = model.text_linear.weight
    text[:, :SHARED] = 0.0
    for token in range(tokenizer.vocab_size()):
        if tokenizer.is_byte(token) or tokenizer.is_control(token):
            text[token] = 0.0
    text[PADDING, :SHARED] = 0.62
    text[END_OF_PADDING, :SHARED] = 0.47
