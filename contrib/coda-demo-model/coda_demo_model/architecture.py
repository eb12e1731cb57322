"""The sizes of the model: moshi's own classes, small enough for two CPU cores and for 8 MB."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["CODEBOOKS", "CODES", "END_OF_PADDING", "FRAME_RATE_HZ", "LM", "MIMI", "PADDING", "TEXT_CARD"]

CODEBOOKS: Final = 4
"""Of the model's voice, and as many of the caller's."""
CODES: Final = 512
"""In a codebook."""
TEXT_CARD: Final = 518
"""Pieces of the tokenizer; see `coda_demo_model.tokenizer`."""
END_OF_PADDING: Final = 0
PADDING: Final = 3
FRAME_RATE_HZ: Final = 12.5

_WIDTH: Final = 128

# No residual units: at the full audio rate they would take most of the codec's time, and this voice does not need
# them. Seen from the decoder, the largest ratio comes first: it then works at 200 Hz, about the rate at which the
# voice's spectral envelopes change, where there are still many channels. The attention reaches back no further than
# what training shows it.
MIMI: Final[Mapping[str, Any]] = {
    "sample_rate": 24_000,
    "channels": 1,
    "frame_rate": FRAME_RATE_HZ,
    "seanet": {
        "channels": 1,
        "dimension": _WIDTH,
        "causal": True,
        "n_filters": 8,
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
        "ratios": [8, 6, 5, 4],
        "true_skip": True,
    },
    "quantizer": {
        "dimension": 48,
        "n_q": CODEBOOKS,
        "bins": CODES,
        "input_dimension": _WIDTH,
        "output_dimension": _WIDTH,
    },
    "transformer": {
        "d_model": _WIDTH,
        "num_heads": 4,
        "num_layers": 1,
        "causal": True,
        "layer_scale": 0.1,
        "context": 12,
        "conv_layout": True,
        "max_period": 10_000,
        "gating": "none",
        "norm": "layer_norm",
        "positional_embedding": "rope",
        "dim_feedforward": 256,
        "input_dimension": _WIDTH,
        "output_dimensions": [_WIDTH],
    },
}

LM: Final[Mapping[str, Any]] = {
    "dim": 192,
    "text_card": TEXT_CARD,
    "existing_text_padding_id": PADDING,
    "n_q": 2 * CODEBOOKS,
    "dep_q": CODEBOOKS,
    "card": CODES,
    "num_heads": 6,
    "num_layers": 3,
    "hidden_scale": 3.0,
    "causal": True,
    "layer_scale": None,
    "context": 100,
    "max_period": 10_000,
    "gating": "silu",
    "norm": "rms_norm_f32",
    "positional_embedding": "rope",
    "depformer_dim": 96,
    "depformer_dim_feedforward": 288,
    "depformer_num_heads": 4,
    "depformer_num_layers": 1,
    "depformer_layer_scale": None,
    "depformer_multi_linear": True,
    "depformer_context": CODEBOOKS,
    "depformer_max_period": 10_000,
    "depformer_gating": "silu",
    "depformer_pos_emb": "none",
    "depformer_weights_per_step": True,
    "delays": [0, 0, 1, 1, 1, 0, 1, 1, 1],
}
