"""Every way in which a checkpoint can be wrong, and what is said of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from safetensors.torch import load_file, save_file

from coda_core.errors import ModelError, OutOfMemory
from coda_core.interfaces import Context
from coda_moshi.budget import Budget
from coda_moshi.config import MoshiConfig
from coda_moshi.loading import choose_device, choose_dtype, load_model


@pytest.fixture
def folder(brief_folder: Path, tmp_path: Path) -> Path:
    """A checkpoint to damage."""
    return Path(shutil.copytree(brief_folder, tmp_path / "checkpoint"))


def reconfigure(folder: Path, name: str = "config.json", **changes: Any) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def load(context: Context, folder: Path | str, **settings: Any) -> Any:
    return load_model(MoshiConfig(model_path=str(folder), **settings), context, torch.device("cpu"))


def cut(path: Path, keep: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


def reshape(path: Path, name: str) -> None:
    weights = load_file(path)
    weights[name] = torch.zeros(*weights[name].shape[:-1], weights[name].shape[-1] + 1)
    save_file(weights, path)


def rename(path: Path) -> None:
    weights = load_file(path)
    save_file({f"other.{name}": value for name, value in weights.items()}, path)


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), r"checkpoint holds no config.json, so it is no Moshi"),
    "config no JSON": (lambda f: cut(f / "config.json", 0.5), r"config.json is not JSON .* fetch the checkpoint again"),
    "config no text": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"), r"config.json is not JSON"),
    "config no object": (lambda f: (f / "config.json").write_text("[]"), r"holds a JSON list; expected an object"),
    "no codebooks": (lambda f: reconfigure(f, n_q="many"), r"n_q and dep_q are 'many' and 2; expected numbers"),
    "name no text": (lambda f: reconfigure(f, moshi_name=5), r"moshi_name is 5; expected the name of a file"),
    "unknown argument": (lambda f: reconfigure(f, wings=2), r"does not describe a language model .*wings"),
    "wrong heads": (lambda f: reconfigure(f, num_heads=5), r"does not describe a language model"),
    "wrong delays": (
        lambda f: reconfigure(f, delays=[0, 1]),
        r"does not describe a language model .*expected 5 delays",
    ),
    "wrong width": (lambda f: reconfigure(f, dim=128), r"model.safetensors are not for the model .* and \d+ more"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), r"model.safetensors does not exist"),
    "no codec": (lambda f: (f / "mimi.safetensors").unlink(), r"mimi.safetensors does not exist"),
    "cut weights": (
        lambda f: cut(f / "model.safetensors", 0.7),
        r"model.safetensors \(\d+ bytes\) is not a whole safe",
    ),
    "cut codec": (lambda f: cut(f / "mimi.safetensors", 0.01), r"mimi.safetensors \(\d+ bytes\) is not a whole safe"),
    "empty weights": (lambda f: (f / "model.safetensors").write_bytes(b""), r"\(0 bytes\) is not a whole safetensors"),
    "pointer": (lambda f: (f / "model.safetensors").write_text("version https://git-lfs"), r"is not a whole safetens"),
    "other shape": (lambda f: reshape(f / "model.safetensors", "text_linear.weight"), r"size mismatch for text_linear"),
    "other model": (lambda f: rename(f / "mimi.safetensors"), r"mimi.safetensors are not for .* Missing key"),
    "no codec config": (lambda f: (f / "mimi_config.json").unlink(), r"mimi_config.json cannot be read: No such file"),
    "codec config no JSON": (lambda f: cut(f / "mimi_config.json", 0.5), r"mimi_config.json is not JSON"),
    "codec without quantizer": (
        lambda f: (f / "mimi_config.json").write_text("{}"),
        r"does not describe a codec .*KeyError: 'seanet'",
    ),
    "few codebooks": (
        lambda f: reconfigure(f, n_q=8, dep_q=4, delays=[0] * 9),
        r"the codec has 2 codebooks and the language model needs 4",
    ),
    "other codes": (lambda f: reconfigure(f, card=128), r"256 codes in a codebook and the language model knows 128"),
    "no tokenizer": (lambda f: (f / "tokenizer.model").unlink(), r"the tokenizer .*tokenizer.model cannot be read"),
    "cut tokenizer": (lambda f: cut(f / "tokenizer.model", 0.5), r"the tokenizer .*tokenizer.model cannot be read"),
    "empty tokenizer": (lambda f: (f / "tokenizer.model").write_bytes(b""), r"the tokenizer .* cannot be read"),
    "LoRA missing": (lambda f: reconfigure(f, lora=True), r"asks for LoRA weights and names none; set lora_path"),
    "pickle": (
        lambda f: reconfigure(f, moshi_name=(f / "model.safetensors").rename(f / "model.pt").name),
        r"model.pt is not a safetensors file, and reading it could run code .* allow_pickle = true",
    ),
    "advice no number": (
        lambda f: reconfigure(f, lm_gen_config={"temp": "hot"}),
        r"lm_gen_config.temp is 'hot'; expected a number",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_checkpoint_is_named(context: Context, folder: Path, name: str) -> None:
    damage, said = DAMAGES[name]
    damage(folder)
    with pytest.raises(ModelError, match=said):
        load(context, folder)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"model_type": "stt"}, "a speech-to-text model"),
        ({"model_type": "tts"}, "a text-to-speech model"),
        ({"model_type": "hibiki"}, "a speech translation model"),
        ({"model_type": "opera"}, "of a kind that Coda does not know"),
        ({"stt_config": {"audio_delay_seconds": 0.5}}, "a speech-to-text model"),
        ({"tts_config": {"multistream": True}}, "a text-to-speech model"),
        ({"conditioners": {"description": {}}}, "steered by conditions"),
        ({"dep_q": 0}, "one that only writes"),
        ({"dep_q": 4}, "one that hears no caller"),
    ],
)
def test_checkpoints_of_another_trade_are_refused(
    context: Context, folder: Path, changes: dict[str, Any], found: str
) -> None:
    reconfigure(folder, **changes)
    with pytest.raises(ModelError, match=f"{found}.* Coda converses: it wants a speech-to-speech dialogue model"):
        load(context, folder)


@pytest.mark.parametrize(
    ("model_path", "said"),
    [
        ("nowhere", r"names the folder .*nowhere, which does not exist"),
        ("./no/where", r"names the folder .*no/where, which does not exist"),
        ("/no/where", r"names the folder /no/where, which does not exist"),
        ("~/surely/not/here", r"names the folder .*surely/not/here, which does not exist"),
    ],
)
def test_a_folder_that_is_not_there(context: Context, model_path: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        load(context, model_path)


def test_a_file_instead_of_a_folder(context: Context, folder: Path) -> None:
    with pytest.raises(ModelError, match=r"names the file .*; give the folder"):
        load(context, folder / "config.json")


def test_a_folder_is_relative_to_the_stack(context: Context, folder: Path) -> None:
    moved = attrs.evolve(context, base_dir=folder.parent)
    assert load(moved, "checkpoint").fingerprint == load(context, folder).fingerprint
    assert load(moved, "./checkpoint").fingerprint == load(context, folder).fingerprint


def test_names_in_the_config_may_be_left_out(context: Context, folder: Path) -> None:
    """The package's own names then hold."""
    config = json.loads((folder / "config.json").read_text())
    for key, name in (
        ("mimi_name", "tokenizer-e351c8d8-checkpoint125.safetensors"),
        ("tokenizer_name", "tokenizer_spm_32k_3.model"),
    ):
        (folder / config.pop(key)).rename(folder / name)
    del config["moshi_name"]
    (folder / "config.json").write_text(json.dumps(config))
    load(context, folder)


def test_names_in_the_config_may_be_files_elsewhere(context: Context, folder: Path, tmp_path: Path) -> None:
    (folder / "tokenizer.model").rename(tmp_path / "elsewhere.model")
    reconfigure(folder, tokenizer_name=f"file://{tmp_path / 'elsewhere.model'}")
    load(context, folder)


def test_pickled_weights_are_loaded_where_a_setting_allows_it(context: Context, folder: Path) -> None:
    torch.save({"fsdp_best_state": {"model": load_file(folder / "model.safetensors")}}, folder / "model.pt")
    reconfigure(folder, moshi_name="model.pt")
    load(context, folder, allow_pickle=True)


def test_a_model_that_is_too_large(context: Context, folder: Path) -> None:
    with pytest.raises(
        OutOfMemory, match=r"does not fit: \d.* of weights, .* and 3 x .* vram_allocation = '1 MB' allows"
    ):
        load(context, folder, conversations=3, vram_allocation="1 MB")


def test_more_conversations_than_fit(context: Context, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = Budget(device="this machine", total=10**9, free=2 * 10**8)
    monkeypatch.setattr("coda_moshi.loading.device_budget", lambda *_: small)
    with pytest.raises(
        OutOfMemory, match=r"1024 x .* this machine has .* free\. conversations = (\d+) would"
    ) as refused:
        load(context, folder, conversations=1024)
    fitting = int(str(refused.value).split("conversations = ")[1].split()[0])
    load(context, folder, conversations=fitting)
    with pytest.raises(OutOfMemory):
        load(context, folder, conversations=fitting + 1)


def test_progress_counts_bytes(context: Context, folder: Path) -> None:
    seen: list[tuple[str, float, float]] = []
    load(attrs.evolve(context, progress=lambda what, done, total: seen.append((what, done, total))), folder)
    codec, model = (folder / name for name in ("mimi.safetensors", "model.safetensors"))
    total = codec.stat().st_size + model.stat().st_size
    assert [(done, whole) for _, done, whole in seen] == [(0, total), (codec.stat().st_size, total), (total, total)]


def test_the_tiny_checkpoint_says_that_it_is_random(
    context: Context, tiny_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert load(context, "tiny").fingerprint == load(context, tiny_folder).fingerprint
    assert "random" in caplog.text
    assert "nonsense" in caplog.text


def test_a_fingerprint_is_that_of_content_and_precision(context: Context, folder: Path, tmp_path: Path) -> None:
    usual = load(context, folder).fingerprint
    assert load(context, shutil.copytree(folder, tmp_path / "copy")).fingerprint == usual
    assert load(context, folder, conversations=3, seed=4).fingerprint == usual
    assert load(context, folder, dtype="bfloat16").fingerprint != usual
    weights = load_file(folder / "model.safetensors")
    weights["text_linear.weight"][0, 0] += 1
    save_file(weights, folder / "model.safetensors")
    assert load(context, folder).fingerprint != usual


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_other_precisions_serve(open_processor: Any, stage: Any, voice: Any, brief_folder: Path, dtype: str) -> None:
    with open_processor(brief_folder, 2, dtype=dtype) as processor:
        heard = stage(processor).talk(0, voice(1, 6))
    assert heard.valid.tolist() == [False, *[True] * 5]


def test_devices() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_dtype("auto", torch.device("cpu")) == torch.float32
    assert choose_dtype("auto", torch.device("cuda")) == torch.bfloat16
    assert choose_dtype("float16", torch.device("cpu")) == torch.float16


@pytest.mark.parametrize(
    ("there", "wanted", "said"), [(0, "cuda", "torch finds no CUDA here"), (2, "cuda:2", "there are 2")]
)
def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch, there: int, wanted: str, said: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    with pytest.raises(ModelError, match=f"device is '{wanted}', but {said}"):
        choose_device(wanted)
