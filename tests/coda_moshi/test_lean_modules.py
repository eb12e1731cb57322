"""Lean modules against the stock ones that they came from: the same numbers and the same state."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from moshi.models import LMGen, loaders
from moshi.modules.lora import replace_all_linear_with_lora
from moshi.modules.transformer import StreamingTransformer
from moshi.utils.compile import no_compile
from torch import nn

from coda_moshi.lean_convolution import LeanConv1d, LeanConvTranspose1d
from coda_moshi.lean_language_model import LeanLanguageModel
from coda_moshi.lean_layer import LeanLayer, LeanRMSNorm
from coda_moshi.lean_modules import make_lean
from coda_moshi.lean_quantizer import LeanResidualQuantization
from coda_moshi.lean_transformer import LeanTransformer
from coda_moshi.tiny import LM_CONFIG, MIMI_CONFIG, write_checkpoint

SLOTS = 3


@pytest.fixture(scope="module")
def rich_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything twice: layers, depth layers, residual units; codebooks that share weights, and short windows."""
    folder = tmp_path_factory.mktemp("rich")
    lm = {
        **LM_CONFIG,
        "n_q": 6,
        "dep_q": 3,
        "delays": [0, 0, 1, 1, 0, 1, 1],
        "context": 5,
        "layer_scale": 0.3,
        "depformer_num_layers": 2,
        "depformer_weights_per_step_schedule": [0, 1, 1],
    }
    mimi = {
        **MIMI_CONFIG,
        "seanet": {**MIMI_CONFIG["seanet"], "n_filters": 4, "ratios": [24, 40], "n_residual_layers": 2},
        "quantizer": {**MIMI_CONFIG["quantizer"], "n_q": 3},
        "transformer": {**MIMI_CONFIG["transformer"], "context": 5, "num_layers": 2},
    }
    write_checkpoint(folder, lm=lm, mimi=mimi)
    return folder


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode(), no_compile():
        yield


def load(folder: Path) -> tuple[Any, Any]:
    found = loaders.CheckpointInfo.from_hf_repo(
        str(folder),
        moshi_weights=folder / "model.safetensors",
        mimi_weights=folder / "mimi.safetensors",
        tokenizer=folder / "tokenizer.model",
        config_path=folder / "config.json",
        mimi_config_path=folder / "mimi_config.json",
    )
    return found.get_mimi(), found.get_moshi(dtype=torch.float32)


class Loop:
    """The reference loop, all parts of it masked alike."""

    def __init__(self, mimi: Any, lm: Any) -> None:
        self.mimi = mimi
        self.generator = LMGen(lm, use_sampling=False, support_out_of_sync=True)
        mimi.streaming_forever(SLOTS)
        self.generator.streaming_forever(SLOTS)

    def step(self, pcm: torch.Tensor, moving: torch.Tensor) -> list[torch.Tensor]:
        """Return latents, codes, tokens and voice of the rows that move."""
        for part in (self.mimi, self.generator):
            part.set_exec_mask(moving)
        latent = self.mimi.encode_to_latent(pcm, quantize=False)
        codes = self.mimi.quantizer.encode(latent)
        tokens = self.generator.step(codes)
        voice = self.mimi.decode(tokens[:, 1:].clamp(min=0))
        return [values[moving] for values in (latent, codes, tokens, voice)]

    def restart(self, slots: torch.Tensor) -> None:
        for part in (self.mimi, self.generator):
            part.reset_streaming(slots)

    def states(self) -> dict[str, torch.Tensor]:
        found = {}
        states = {
            **{f"mimi.{name}": state for name, state in self.mimi.get_streaming_state().items()},
            **{f"lm.{name}": state for name, state in self.generator.lm_model.get_streaming_state().items()},
            "generator": self.generator._streaming_state,
        }
        for name, state in states.items():
            parts = [state, getattr(state, "kv_cache", None)]
            for part in parts:
                for attribute, value in vars(part).items() if part is not None else ():
                    if isinstance(value, torch.Tensor):
                        found[f"{name}.{type(part).__name__}.{attribute}"] = value
        return found


@pytest.mark.parametrize("checkpoint", ["brief_folder", "late_folder", "rich_folder"])
def test_the_numbers_and_the_state_are_those_of_the_stock_modules(
    request: pytest.FixtureRequest, checkpoint: str
) -> None:
    """Bit for bit but for the voice, over windows that fill and slots that pause and start again."""
    folder = request.getfixturevalue(checkpoint)
    mimi, lm = load(folder)
    assert make_lean(mimi, lm) == {}
    stock, lean = Loop(*load(folder)), Loop(mimi, lm)
    random = torch.Generator().manual_seed(1)
    tokens_seen = set()
    for step in range(24):
        moving = torch.rand(SLOTS, generator=random) < 0.8
        pcm = torch.randn(SLOTS, 1, 1920, generator=random) * 0.1
        if step == 10:
            for loop in (stock, lean):
                loop.restart(torch.tensor([False, True, False]))
        (*theirs, their_voice), (*ours, our_voice) = stock.step(pcm, moving), lean.step(pcm, moving)
        assert all(torch.equal(mine, other) for mine, other in zip(ours, theirs, strict=True)), step
        torch.testing.assert_close(our_voice, their_voice, rtol=0, atol=1e-6)
        tokens_seen.update(ours[2].flatten().tolist())
    assert len(tokens_seen) > 10
    state = lean.states()
    assert state.keys() == stock.states().keys()
    for name, tensor in stock.states().items():
        if "decoder" in name or "upsample" in name:
            torch.testing.assert_close(state[name], tensor, rtol=0, atol=1e-5, msg=name)
        elif not name.endswith("exec_mask"):
            assert torch.equal(state[name], tensor), name


def test_lean_and_stock_modules_take_turns_on_one_state(brief_folder: Path) -> None:
    mimi, lm = load(brief_folder)
    make_lean(mimi, lm)
    stock, lean = Loop(*load(brief_folder)), Loop(mimi, lm)
    alone = Loop(*load(brief_folder))
    random = torch.Generator().manual_seed(2)
    everyone = torch.ones(SLOTS, dtype=torch.bool)
    for step in range(16):
        taking, waiting = (lean, stock) if step % 4 < 2 else (stock, lean)
        pcm = torch.randn(SLOTS, 1, 1920, generator=random) * 0.1
        *ours, voice = taking.step(pcm, everyone)
        *theirs, their_voice = alone.step(pcm, everyone)
        assert all(torch.equal(mine, other) for mine, other in zip(ours, theirs, strict=True)), step
        torch.testing.assert_close(voice, their_voice, rtol=0, atol=1e-6)
        for name, tensor in waiting.states().items():
            tensor.copy_(taking.states()[name])


def test_nothing_changes_in_what_a_checkpoint_holds(brief_folder: Path) -> None:
    mimi, lm = load(brief_folder)
    before = [{name: tensor.clone() for name, tensor in module.state_dict().items()} for module in (mimi, lm)]
    make_lean(mimi, lm)
    for module, weights in zip((mimi, lm), before, strict=True):
        after = module.state_dict()
        assert after.keys() == weights.keys()
        assert all(torch.equal(after[name], tensor) for name, tensor in weights.items())


def test_modules_that_are_not_known_stay_as_they_are(brief_folder: Path) -> None:
    mimi, lm = load(brief_folder)
    replace_all_linear_with_lora(lm.transformer.layers[0].self_attn, 4, 1.0)
    mimi.encoder_transformer.transformer.positional_embedding = "sin_rope"
    stock = make_lean(mimi, lm)
    assert stock == {
        "mimi.encoder_transformer.transformer": "its positional embedding is sin_rope",
        "lm.transformer": "a linear layer is quantised, or has a bias or LoRA weights beside its own",
    }
    assert type(lm.transformer) is StreamingTransformer
    assert not isinstance(lm.transformer.layers[0], LeanLayer)
    assert isinstance(lm, LeanLanguageModel)
    assert isinstance(mimi.decoder_transformer.transformer, LeanTransformer)


def test_part_of_a_model_can_be_lean(brief_folder: Path) -> None:
    mimi, lm = load(brief_folder)
    mimi.encoder_transformer.transformer.layers[0].cross_attention = nn.Identity()
    lm.depformer.layers[0].norm1 = nn.Identity()
    assert sorted(make_lean(mimi, lm)) == ["lm", "mimi.encoder_transformer.transformer"]
    mimi.encoder_transformer.transformer.layers[0].cross_attention = None
    lm.depformer.layers[0].norm1 = nn.LayerNorm(32)
    loop = Loop(mimi, lm)
    everyone = torch.ones(SLOTS, dtype=torch.bool)
    for _ in range(3):
        *_, voice = loop.step(torch.zeros(SLOTS, 1, 1920), everyone)
    assert voice.isfinite().all()


@pytest.mark.parametrize(
    ("lean", "change", "said"),
    [
        (LeanConv1d, lambda mimi, lm: setattr(mimi.encoder.model[0].conv, "norm_type", "weight_norm"), "normalised"),
        (LeanConvTranspose1d, lambda mimi, lm: setattr(_convtr(mimi), "kernel_size", (7,)), "two strides"),
        (LeanConvTranspose1d, lambda mimi, lm: setattr(_convtr(mimi), "groups", 2), "in groups"),
        (LeanResidualQuantization, lambda mimi, lm: setattr(_vq(mimi).layers[0], "codebook_size", 25), "very small"),
        (LeanResidualQuantization, lambda mimi, lm: setattr(_vq(mimi).layers[0], "project_in", lm), "projected"),
        (LeanLanguageModel, lambda mimi, lm: setattr(lm.emb[0], "norm", lm), "more than tables"),
        (LeanLanguageModel, lambda mimi, lm: setattr(lm, "fuser", mimi), "conditioned"),
        (LeanRMSNorm, lambda mimi, lm: lm.out_norm.bfloat16(), "not in float32"),
    ],
)
def test_each_says_what_it_does_not_know(brief_folder: Path, lean: Any, change: Any, said: str) -> None:
    mimi, lm = load(brief_folder)
    module = {
        LeanConv1d: mimi.encoder.model[0],
        LeanConvTranspose1d: mimi.decoder.model[2],
        LeanResidualQuantization: _vq(mimi),
        LeanLanguageModel: lm,
        LeanRMSNorm: lm.out_norm,
    }[lean]
    assert lean.refuses(module) is None
    change(mimi, lm)
    assert said in lean.refuses(module)


def _convtr(mimi: Any) -> Any:
    return mimi.decoder.model[2].convtr.convtr


def _vq(mimi: Any) -> Any:
    return mimi.quantizer.rvq_rest.vq


def test_no_input_counts_for_nothing(brief_folder: Path) -> None:
    """-1 is moshi's mark for a stream that says nothing."""
    mimi, lm = load(brief_folder)
    _, stock = load(brief_folder)
    make_lean(mimi, lm)
    sequence = torch.tensor([[3, 5, -1, 7, 9], [-1, -1, 0, 1, 2]])[:, :, None]
    with lm.streaming(2), stock.streaming(2):
        ours, theirs = lm.forward_text(sequence), stock.forward_text(sequence)
        assert all(torch.equal(mine, other) for mine, other in zip(ours, theirs, strict=True))
        with pytest.raises(ValueError, match="takes no conditions"):
            lm.forward_text(sequence, torch.zeros(1))
