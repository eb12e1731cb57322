"""Finding a checkpoint: a folder, a hub repository or one of Coda's own, and whether it is a Moshi at all."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from moshi.models import loaders

from coda_core.errors import ModelError
from coda_moshi.hub import borrowed_file, cached_folder, hub_answers, hub_config, hub_faults
from coda_moshi.shipped import demo_checkpoint
from coda_moshi.tiny import tiny_checkpoint

if TYPE_CHECKING:
    from coda_core.interfaces import Context
    from coda_moshi.config import MoshiConfig

__all__ = ["find_checkpoint", "is_repository", "is_safetensors", "read_config", "refuse_other_trades"]

_TRADES: Final = {
    "stt": "a speech-to-text model",
    "tts": "a text-to-speech model",
    "hibiki": "a speech translation model",
}
_FILES: Final = {
    "moshi_weights": ("moshi_name", loaders.MOSHI_NAME),
    "mimi_weights": ("mimi_name", loaders.MIMI_NAME),
    "tokenizer": ("tokenizer_name", loaders.TEXT_TOKENIZER_NAME),
    "mimi_config_path": ("mimi_config_name", None),
    "lora_weights": ("lora_name", None),
}
"""Arguments of the package's loader, each with the key of ``config.json`` that names its file, and the usual name."""


def find_checkpoint(config: MoshiConfig, context: Context) -> loaders.CheckpointInfo:
    """Return where the files of ``config.model_path`` are, fetched from the hub where they must be.

    A folder is taken relative to `context.base_dir`. Raises `ModelError` where there is no such checkpoint, a file of
    it is missing or not allowed, or it is made for another task than conversation.
    """
    found = _find(config, context)
    if found.lm_config is not None:
        # What is written for Coda is no argument of the language model; `raw_config` still has it.
        found.lm_config.pop("coda", None)
    for path in (found.moshi_weights, found.mimi_weights, found.lora_weights):
        if path is not None:
            _check_weights(path, allow_pickle=config.allow_pickle)
    return found


def _find(config: MoshiConfig, context: Context) -> loaders.CheckpointInfo:
    if config.model_path == "tiny":
        context.logger.warning("the tiny checkpoint is random: it makes noise and nonsense words, to try things out")
        return _in_folder(tiny_checkpoint(context.cache_dir))
    if config.model_path == "demo":
        return _in_folder(demo_checkpoint())
    folder = context.base_dir / Path(config.model_path).expanduser()
    if folder.is_dir():
        return _in_folder(folder)
    if folder.exists():
        raise ModelError(f"model_path names the file {folder}; give the folder that holds the checkpoint")
    if not is_repository(config.model_path):
        raise ModelError(
            f"model_path names the folder {folder}, which does not exist. Give a folder that holds a checkpoint, a hub "
            "repository (owner/name), 'demo' or 'tiny'."
        )
    context.progress(f"fetching {config.model_path}", 0, 1)
    found = _on_hub(config.model_path, config.revision)
    context.progress(f"fetching {config.model_path}", 1, 1)
    return found


def is_repository(name: str) -> bool:
    """Return whether `name` may be a hub repository's: owner/name."""
    return re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name) is not None


def is_safetensors(path: Path) -> bool:
    """Return whether the moshi package reads `path` with safetensors; it unpickles everything else."""
    return path.suffix in (".safetensors", ".sft", ".sfts")


def read_config(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`; raises `ModelError` for anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}. Fetch the checkpoint again.") from error
    except ValueError as error:
        raise ModelError(f"{path} is not JSON ({error}). It is damaged: fetch the checkpoint again.") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds a JSON {type(content).__name__}; expected an object with the model's settings")
    return content


def _in_folder(folder: Path) -> loaders.CheckpointInfo:
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(
            f"{folder} holds no config.json, so it is no Moshi checkpoint. "
            "Give a folder with config.json, the weights of Moshi and of Mimi, and the tokenizer."
        )
    raw = read_config(path)
    refuse_other_trades(raw, str(path))
    files = {argument: _place(folder, raw, key, default) for argument, (key, default) in _FILES.items()}
    if files["mimi_config_path"] is not None:
        # The package reads this file itself, but fails in other words.
        read_config(files["mimi_config_path"])
    found = loaders.CheckpointInfo.from_hf_repo(str(folder), config_path=path, **files)
    for_coda = folder / "coda.json"
    if for_coda.is_file() and found.raw_config is not None:
        # In a file of its own where moshi itself shall read the folder, too: it refuses a config.json with this table.
        found.raw_config["coda"] = read_config(for_coda)
    return found


def _place(folder: Path, raw: Mapping[str, Any], key: str, default: str | None) -> Path | None:
    name = raw.get(key, default)
    if name is None:
        return None
    if not isinstance(name, str) or not name:
        raise ModelError(f"{folder / 'config.json'}: {key} is {name!r}; expected the name of a file")
    if name.startswith("hf://"):
        return borrowed_file(name)
    return folder / name.removeprefix("file://")


def _on_hub(repository: str, revision: str | None) -> loaders.CheckpointInfo:
    with hub_faults(repository, revision):
        if not hub_answers():
            return _in_folder(cached_folder(repository, revision))
        # The config first: it tells whether gigabytes of weights are worth fetching.
        path = hub_config(repository, revision)
        if path is not None:
            refuse_other_trades(read_config(path), repository)
        return loaders.CheckpointInfo.from_hf_repo(repository, config_path=path, revision=revision)


def _check_weights(path: Path, *, allow_pickle: bool) -> None:
    if not path.is_file():
        raise ModelError(
            f"{path} does not exist, but the checkpoint needs it. Fetch the checkpoint again, or correct the name in "
            "its config.json."
        )
    if not (is_safetensors(path) or allow_pickle):
        raise ModelError(
            f"{path} is not a safetensors file, and reading it could run code that somebody put there. "
            "Convert it, or set allow_pickle = true if you trust where it is from."
        )


def refuse_other_trades(raw: Mapping[str, Any], where: str) -> None:
    """Raise `ModelError` where a checkpoint of the moshi package is made for something else than conversation."""
    kind = raw.get("model_type", "moshi")
    if kind != "moshi":
        found = _TRADES.get(str(kind), "of a kind that Coda does not know")
    elif raw.get("stt_config"):
        found = _TRADES["stt"]
    elif raw.get("tts_config"):
        found = _TRADES["tts"]
    elif raw.get("conditioners"):
        found = "steered by conditions, as translation and text-to-speech models are"
    else:
        spoken, streams = raw.get("dep_q"), raw.get("n_q")
        if type(spoken) is not int or type(streams) is not int:
            raise ModelError(f"{where}: n_q and dep_q are {streams!r} and {spoken!r}; expected numbers of codebooks")
        if spoken < 1:
            found = "one that only writes (dep_q is 0), as speech-to-text models do"
        elif spoken >= streams:
            found = "one that hears no caller (n_q is not above dep_q), as text-to-speech models are"
        else:
            return
    raise ModelError(
        f"{where} describes a checkpoint that is {found} (model_type {kind!r}). Coda converses: it wants a "
        "speech-to-speech dialogue model, as kyutai/moshiko-pytorch-bf16 is."
    )
