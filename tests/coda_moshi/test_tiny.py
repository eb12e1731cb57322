from __future__ import annotations

import json
from pathlib import Path

import pytest
from moshi.models import loaders

from coda_core.errors import ModelError
from coda_moshi.tiny import LM_CONFIG, MIMI_CONFIG, tiny_checkpoint, write_checkpoint

FILES = ["config.json", "mimi.safetensors", "mimi_config.json", "model.safetensors", "tokenizer.model"]


def test_a_whole_checkpoint_of_a_few_megabytes(tiny_folder: Path) -> None:
    assert sorted(path.name for path in tiny_folder.iterdir()) == FILES
    assert sum(path.stat().st_size for path in tiny_folder.iterdir()) < 4_000_000


def test_the_same_bytes_every_time_and_others_for_another_seed(tiny_folder: Path, tmp_path: Path) -> None:
    again, other = tmp_path / "again", tmp_path / "other"
    again.mkdir()
    other.mkdir()
    write_checkpoint(again)
    write_checkpoint(other, seed=5)
    for name in FILES:
        assert (again / name).read_bytes() == (tiny_folder / name).read_bytes()
    assert (other / "model.safetensors").read_bytes() != (tiny_folder / "model.safetensors").read_bytes()


def test_it_is_made_once(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "not" / "there")
    made = (folder / "model.safetensors").stat().st_mtime_ns
    assert tiny_checkpoint(tmp_path / "not" / "there") == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == made
    assert list(folder.parent.iterdir()) == [folder]


def test_nothing_is_left_where_making_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("coda_moshi.tiny.save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tiny_checkpoint(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        ModelError, match=r"the tiny checkpoint cannot be written to .*file: .* Make that folder writable"
    ):
        tiny_checkpoint(tmp_path / "file")


def test_another_process_may_be_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def late(self: Path, target: Path) -> Path:
        target.mkdir()
        (target / "theirs").touch()
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", late)
    folder = tiny_checkpoint(tmp_path)
    assert list(tmp_path.iterdir()) == [folder]
    assert (folder / "theirs").exists()


def test_its_structure_is_the_released_one() -> None:
    """Same switches as the 7B, other sizes; its codec has no residual units."""
    sizes = {"dim", "text_card", "n_q", "dep_q", "card", "num_heads", "num_layers", "hidden_scale", "context", "delays"}
    sizes |= {"depformer_dim", "depformer_dim_feedforward", "depformer_num_heads", "depformer_num_layers"}
    sizes |= {"depformer_context"}
    released = loaders._lm_kwargs
    assert {key: LM_CONFIG[key] for key in released if key not in sizes} == {
        key: value for key, value in released.items() if key not in sizes
    }
    half = LM_CONFIG["dep_q"]
    assert LM_CONFIG["n_q"] == 2 * half
    assert LM_CONFIG["delays"] == [0] + [0, *[1] * (half - 1)] * 2
    assert released["delays"] == [0] + [0, *[1] * (released["dep_q"] - 1)] * 2
    kinds = {key: value for key, value in loaders._seanet_kwargs.items() if isinstance(value, (bool, str))}
    assert {key: MIMI_CONFIG["seanet"][key] for key in kinds} == kinds
    assert set(MIMI_CONFIG["transformer"]) == set(loaders._transformer_kwargs)
    assert json.loads(json.dumps(dict(MIMI_CONFIG))) == MIMI_CONFIG
