"""Convolutions as matrix products give what moshi's layers give, and the same gradients."""

from __future__ import annotations

import torch

from coda_demo_model.blockwise import decode_latent, encode_audio
from coda_demo_model.codec import new_codec


def test_the_encoder_is_moshis() -> None:
    torch.manual_seed(0)
    codec = new_codec()
    audio = torch.randn(2, 1, 1920 * 3)
    with torch.no_grad():
        assert torch.allclose(encode_audio(codec, audio), codec.encoder(audio), atol=1e-5)


def test_the_decoder_is_moshis() -> None:
    torch.manual_seed(0)
    codec = new_codec()
    latent = torch.randn(2, 128, 6)
    with torch.no_grad():
        assert torch.allclose(decode_latent(codec, latent), codec.decoder(latent), atol=1e-5)


def test_gradients_are_moshis() -> None:
    torch.manual_seed(0)
    codec = new_codec()
    audio = torch.randn(1, 1, 1920 * 2)
    weights = [module for name, module in codec.encoder.named_parameters() if name.endswith("weight")]
    ours = torch.autograd.grad(encode_audio(codec, audio).pow(2).sum(), weights)
    theirs = torch.autograd.grad(codec.encoder(audio).pow(2).sum(), weights)
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, other, rtol=1e-3, atol=1e-4)
