"""Fetching from the Hugging Face hub, and what can go wrong there in words for people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from huggingface_hub import constants, get_session, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from coda_core.errors import ModelError

__all__ = ["borrowed_file", "cached_folder", "hub_answers", "hub_config", "hub_faults"]

_PATIENCE_S: Final = 5.0


def hub_answers() -> bool:
    """Return whether the hub can be reached; without asking first, its client would try for minutes, file by file."""
    try:
        get_session().head(constants.ENDPOINT, timeout=_PATIENCE_S)
    except OSError:
        # What requests raises, and what the hub's client raises where HF_HUB_OFFLINE is set.
        return False
    return True


def cached_folder(repository: str, revision: str | None) -> Path:
    """Return the folder of a repository that was fetched before; raises `LocalEntryNotFoundError` where none was."""
    return Path(snapshot_download(repository, revision=revision, local_files_only=True))


def borrowed_file(name: str) -> Path:
    """Return a file that a config takes from another repository, as ``hf://owner/name/file``.

    Raises `ModelError` where it can be neither fetched nor found.
    """
    owner, _, rest = name.removeprefix("hf://").partition("/")
    repository, _, file = rest.partition("/")
    with hub_faults(f"{owner}/{repository}", None):
        return Path(hf_hub_download(f"{owner}/{repository}", file, local_files_only=not hub_answers()))


def hub_config(repository: str, revision: str | None) -> Path | None:
    """Return the ``config.json`` of a repository, fetched where it is not cached; None where it has none."""
    try:
        return Path(hf_hub_download(repository, "config.json", revision=revision))
    except LocalEntryNotFoundError:
        # A kind of EntryNotFoundError that says nothing about the repository: the hub did not answer.
        raise
    except EntryNotFoundError:
        return None


@contextmanager
def hub_faults(repository: str, revision: str | None) -> Iterator[None]:
    """Turn what the hub's client raises into a `ModelError` that says what to do."""
    try:
        yield
    except GatedRepoError as error:
        raise ModelError(
            f"the hub gives {repository} only to those who accepted its conditions. "
            "Accept them on its page, log in with `hf auth login`, and try again."
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"the hub knows no repository {repository!r}, or it is private. "
            "Check model_path; for a private one, log in with `hf auth login`."
        ) from error
    except RevisionNotFoundError as error:
        raise ModelError(f"{repository} has no revision {revision!r}; check revision, or leave it out") from error
    except HFValidationError as error:
        raise ModelError(f"model_path is {repository!r}, which can be no hub repository: {error}") from error
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"{repository} is not on this machine, and the hub ({constants.ENDPOINT}) does not answer. Connect to the "
            "network, or set model_path to a folder that holds the checkpoint. With HF_HUB_OFFLINE set, only what was "
            "fetched before can be used."
        ) from error
    except EntryNotFoundError as error:
        raise ModelError(
            f"{repository} lacks a file that its config.json names, so it is no whole checkpoint: {error}"
        ) from error
    except OSError as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"{repository} could not be fetched: {reason}. Try again, or fetch it by other means and set model_path to "
            "its folder."
        ) from error
