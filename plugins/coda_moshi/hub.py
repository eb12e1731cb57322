"""Fetching from the Hugging Face hub, and what can go wrong there in words for people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from coda_core.errors import ModelError

__all__ = ["hub_config", "hub_faults"]


def hub_config(repository: str, revision: str | None) -> Path | None:
    """Return the ``config.json`` of a repository, fetched or cached; None where the repository has none."""
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
    except EntryNotFoundError as error:
        if isinstance(error, LocalEntryNotFoundError):
            raise _unreachable(repository, error) from error
        raise ModelError(
            f"{repository} lacks a file that its config.json names, so it is no whole checkpoint: {error}"
        ) from error
    except OSError as error:
        raise _unreachable(repository, error) from error


def _unreachable(repository: str, error: Exception) -> ModelError:
    reason = str(error).strip().partition("\n")[0]
    return ModelError(
        f"{repository} is not on this machine and the hub could not be asked for it ({reason}). Set model_path to a "
        "folder that holds the checkpoint, or connect to the network; with HF_HUB_OFFLINE set, only what was fetched "
        "before can be used."
    )
