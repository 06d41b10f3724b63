"""Finds the files of a pretrained encoder: in a folder, or at the Hugging Face hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kemm.core.errors import InputError, ServiceError, UsageError
from kemm.core.files import read_text, sha256_of

WEIGHTS = ("model.safetensors", "pytorch_model.safetensors", "pytorch_model.bin", "model.bin", "model.pth")
"""In the order of preference. Of the others only tensors are read."""
CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"


@dataclass(frozen=True)
class EncoderFiles:
    """Files of one encoder, on this machine."""

    origin: str
    """The folder or the hub's name, for messages."""
    weights: Path
    config: dict[str, Any]
    """What config.json says; empty where there is none."""
    preprocessor: dict[str, Any]
    """What preprocessor_config.json says; empty where there is none."""

    def digest(self) -> str:
        """SHA-256 of the weights."""
        return sha256_of(self.weights)


def find_files(model: str, *, page: str | None = None) -> EncoderFiles:
    """Files of a model; `page` is where to ask for access.

    Raises:
        InputError: The folder lacks one, or one cannot be read.
        ServiceError: The hub did not give one: not known, not allowed, or not reachable.
    """
    # A relative name with one "/" may be either; what exists here is meant.
    folder = Path(model).expanduser()
    if folder.is_dir():
        return _in_folder(folder)
    if folder.is_absolute() or model.startswith((".", "~")):
        raise InputError(
            f"{model}: there is no such folder. encoder.model is a folder with config.json and model.safetensors, "
            "or a name of the Hugging Face hub."
        )
    return _at_hub(model, page)


def _in_folder(folder: Path) -> EncoderFiles:
    weights = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if weights is None:
        others = sorted(
            path for suffix in ("safetensors", "bin", "pth", "pt") for path in folder.glob(f"*.{suffix}")
        )
        if len(others) != 1:
            found = ", ".join(path.name for path in others) or "none"
            raise InputError(
                f"{folder}: the weights are looked for in {WEIGHTS[0]} (or {', '.join(WEIGHTS[1:])}); "
                f"files of weights there: {found}. Rename the right one."
            )
        weights = others[0]
    return EncoderFiles(str(folder), weights, _json(folder / CONFIG), _json(folder / PREPROCESSOR))


def _at_hub(name: str, page: str | None) -> EncoderFiles:
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
    except ImportError as error:
        raise UsageError(
            "a tile encoder of the hub needs the optional part: pip install 'kemm[encoders]'"
        ) from error

    def get(file: str) -> Path | None:
        try:
            return Path(hf_hub_download(name, file))
        except LocalEntryNotFoundError:
            raise  # not reachable, which says nothing of whether the file is there
        except EntryNotFoundError:
            return None

    with _hub_errors(name, page or f"https://huggingface.co/{name}"):
        weights = next((found for file in WEIGHTS if (found := get(file)) is not None), None)
        if weights is None:
            raise ServiceError(
                f"the tile encoder {name!r} has no {' or '.join(WEIGHTS[:3])} at the hub. "
                "Download it yourself, and name the folder in encoder.model."
            )
        return EncoderFiles(name, weights, _json(get(CONFIG)), _json(get(PREPROCESSOR)))


@contextmanager
def _hub_errors(name: str, page: str) -> Iterator[None]:
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        yield
    except GatedRepoError as error:
        raise ServiceError(
            f"the weights of {name!r} are given only to whom its authors allow it. Ask at {page}, then run "
            "`hf auth login` with a token that may read gated repositories."
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ServiceError(
            f"the hub knows no model {name!r}, or does not show it to you. See {page}; for one with restricted access "
            "run `hf auth login` first. A folder that holds it can be named in encoder.model."
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ServiceError(
            f"the weights of {name!r} are not on this machine and could not be fetched: {reason} Connect it once, or "
            f"download them elsewhere from {page} (`hf auth login`, `hf download {name}`) and name their folder in "
            "encoder.model."
        ) from error


def _json(path: Path | None) -> dict[str, Any]:
    if path is None or not path.is_file():
        return {}
    try:
        value = json.loads(read_text(path))
    except ValueError as error:
        raise InputError(f"{path}: this is not JSON ({error}). Copy or download it again.") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds a {type(value).__name__}, not settings by name. Download it again.")
    return value
