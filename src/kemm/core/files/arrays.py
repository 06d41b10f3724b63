"""Arrays: kemm's own, and the patch features that others' tools wrote."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kemm.core.errors import InputError, IntegrityError, PolicyError
from kemm.core.files.kinds import HDF5, refuse_other_kinds
from kemm.core.files.output import write_bytes
from kemm.core.files.paths import require_file

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

MAX_FEATURE_BYTES = 8 * 2**30
"""Of one slide, as float32: 1.4 million patches of 1,536 features."""

_NPY = b"\x93NUMPY"
_SHAPE = "patch features must be floats of shape (patch, width) with one patch or more"
_PLAIN = "Save them as a plain float array (patch, width): .h5, .npy or .safetensors."


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The named arrays of a safetensors file of kemm's own.

    Raises:
        IntegrityError: The file is damaged or is something else.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    require_file(path)
    try:
        return dict(load_file(path))
    except (SafetensorError, ValueError, TypeError) as error:
        raise IntegrityError(
            f"{path}: not a whole safetensors file ({error}). Delete it; the next run makes it again."
        ) from error


def write_arrays(
    path: Path, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named arrays as safetensors, whole or not at all."""
    import numpy as np
    from safetensors.numpy import save

    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_bytes(path, save(contiguous, dict(metadata or {})))


def read_features(path: Path) -> NDArray[np.float32]:
    """Patch features of one slide as (patch, width), from .h5, .pt, .npy or .safetensors.

    HDF5: the dataset "features" (as CLAM, TRIDENT and STAMP write it). Anything that could make the
    reader open another file or run code is refused.

    Raises:
        InputError: Another shape, dtype or kind of file, or damaged.
        PolicyError: Pickled code, or data kept in other files.
    """
    import numpy as np

    require_file(path)
    suffix = path.suffix.lower()
    if suffix in (".h5", ".hdf5"):
        array = _read_h5(path)
    elif suffix in (".pt", ".pth"):
        array = _read_pt(path)
    elif suffix == ".npy":
        array = _read_npy(path)
    elif suffix == ".safetensors":
        array = _read_safetensors(path)
    else:
        raise InputError(f"{path}: patch features end in .h5, .pt, .npy or .safetensors, not {suffix!r}.")
    with np.errstate(over="ignore"):  # too large for 32 bits becomes infinite, and is refused
        values = np.asarray(array, dtype=np.float32)
    if values.ndim == 3:
        values = values[0]
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(values).all(axis=1))
    if not finite.all():
        raise InputError(
            f"{path}: {(~finite).sum():,} of {len(finite):,} patches have a feature that is not finite, "
            f"the first is patch {int(finite.argmin()) + 1}. Extract this slide again."
        )
    return values


def _require_shape(path: Path, shape: tuple[int, ...], dtype: object, *, floats: bool) -> None:
    """Raise `InputError` before anything of the wrong kind, or too large, is read."""
    flat = shape[1:] if len(shape) == 3 and shape[0] == 1 else shape
    if not floats or len(flat) != 2 or 0 in flat:
        raise InputError(f"{path}: {_SHAPE}, not {dtype} of shape {shape}. Extract this slide again.")
    size = 4 * flat[0] * flat[1]
    if size > MAX_FEATURE_BYTES:
        raise InputError(
            f"{path}: declares features of shape {shape}, {size:,} bytes, above the limit of {MAX_FEATURE_BYTES:,}."
        )


def _read_npy(path: Path) -> NDArray[Any]:
    import numpy as np

    refuse_other_kinds(path, expected="an array in NumPy's .npy format", accept=(_NPY,))
    try:
        # Mapped, so that a header that promises more than the file holds allocates nothing.
        array: NDArray[Any] = np.load(path, allow_pickle=False, mmap_mode="r")
    except ValueError as error:
        if "object" in str(error).lower() or "pickle" in str(error).lower():
            raise PolicyError(
                f"{path}: refused, because this .npy holds pickled Python objects, which could run code. {_PLAIN}"
            ) from error
        raise InputError(f"{path}: this .npy is damaged ({error}). Copy or extract it again.") from error
    except (EOFError, OSError, SyntaxError, TypeError) as error:
        raise InputError(f"{path}: this .npy is damaged ({error}). Copy or extract it again.") from error
    _require_shape(path, array.shape, array.dtype, floats=array.dtype.kind == "f")
    return array


def _read_h5(path: Path) -> NDArray[Any]:
    import h5py

    refuse_other_kinds(path, expected="an HDF5 file", accept=(HDF5,))
    try:
        # Only read, never written by kemm: no lock, which read-only network folders refuse.
        with h5py.File(path, "r", locking=False) as handle:
            dataset = _dataset(path, handle, "features")
            _require_shape(path, dataset.shape or (), dataset.dtype, floats=dataset.dtype.kind == "f")
            values: NDArray[Any] = dataset[()]
            return values
    except (OSError, RuntimeError, KeyError) as error:
        raise InputError(
            f"{path}: this is not a whole HDF5 file ({error}). Copy or extract it again."
        ) from error


def _dataset(path: Path, handle: Any, name: str) -> Any:
    """A dataset whose bytes are in this very file."""
    import h5py

    link = handle.get(name, getlink=True)
    if link is None:
        raise InputError(
            f"{path}: there is no dataset {name!r}; it holds: {', '.join(handle) or 'nothing'}. "
            "Rename the dataset, or extract again."
        )
    if not isinstance(link, h5py.HardLink):
        raise PolicyError(
            f"{path}: {name!r} is a link to another place and is not followed. Copy the data into the file."
        )
    dataset = handle[name]
    if not isinstance(dataset, h5py.Dataset):
        raise InputError(f"{path}: {name!r} is a group, not a dataset. {_PLAIN}")
    if dataset.external or dataset.is_virtual:
        raise PolicyError(
            f"{path}: {name!r} is stored in other files, which are not opened. Copy the data into the file."
        )
    return dataset


@dataclass(frozen=True)
class TiledFeatures:
    """Patch features of one slide with what else their file says."""

    features: NDArray[Any]
    """(patch, width), as stored."""
    coordinates: NDArray[Any] | None
    """(patch, 2), in the unit of whoever wrote them."""
    attributes: Mapping[str, str | float]
    """Of the file, of the coordinates and of the features, whichever says a name first."""
    dataset: str
    """What the features are called in the file: "features", or "feats"."""


def read_tiled_features(path: Path) -> TiledFeatures:
    """Features and places of tiles from an HDF5 file that another tool wrote, under the rules of `read_features`.

    Raises:
        InputError: No features, or features and coordinates of different lengths, or damaged.
        PolicyError: Data kept in other files.
    """
    import h5py
    import numpy as np

    require_file(path)
    refuse_other_kinds(path, expected="an HDF5 file", accept=(HDF5,))
    try:
        with h5py.File(path, "r", locking=False) as handle:
            name = "feats" if "features" not in handle and "feats" in handle else "features"
            features = _dataset(path, handle, name)
            _require_shape(path, features.shape or (), features.dtype, floats=features.dtype.kind == "f")
            values: NDArray[Any] = features[()]
            values = values[0] if values.ndim == 3 else values
            sources = [handle, features]
            places: NDArray[Any] | None = None
            if "coords" in handle:
                coordinates = _dataset(path, handle, "coords")
                shape: tuple[int, ...] = tuple(coordinates.shape or ())
                flat = shape[1:] if len(shape) == 3 and shape[0] == 1 else shape
                if len(flat) != 2 or flat[1] < 2 or coordinates.dtype.kind not in "iuf":
                    raise InputError(
                        f"{path}: 'coords' must be numbers of shape (patch, 2), not {coordinates.dtype} of shape {shape}."
                    )
                if flat[0] != len(values):
                    raise InputError(
                        f"{path}: {len(values):,} features and {flat[0]:,} coordinates. Extract this slide again."
                    )
                places = np.asarray(coordinates[()]).reshape(flat)[:, :2]
                sources.insert(1, coordinates)
            attributes: dict[str, str | float] = {}
            for source in sources:
                for key, value in source.attrs.items():
                    plain = _plain_attribute(value)
                    if plain is not None:
                        attributes.setdefault(str(key), plain)
            return TiledFeatures(values, places, attributes, name)
    except (OSError, RuntimeError, KeyError) as error:
        raise InputError(
            f"{path}: this is not a whole HDF5 file ({error}). Copy or extract it again."
        ) from error


def _plain_attribute(value: Any) -> str | float | None:
    """Text or a number; None of anything else."""
    import numpy as np

    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    # CLAM writes one factor for each direction.
    if isinstance(value, np.ndarray) and value.size and (value == value.flat[0]).all():
        value = value.flat[0]
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, (bool, np.bool_)):
        return float(value)
    return None


def _read_safetensors(path: Path) -> NDArray[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        # Through torch, because numpy has no bfloat16.
        with safe_open(path, framework="pt") as handle:
            names = list(handle.keys())
            if not names:
                raise InputError(f"{path}: holds no array. Save the features under the name 'features'.")
            return _tensor_values(path, handle.get_tensor("features" if "features" in names else names[0]))
    except SafetensorError as error:
        raise InputError(
            f"{path}: this is not a whole safetensors file ({error}). Copy or extract it again."
        ) from error


def _read_pt(path: Path) -> NDArray[Any]:
    import torch

    loaded = _load_pt(path, "features", "Save a plain tensor: torch.save(features, path).")
    if isinstance(loaded, dict) and isinstance(loaded.get("features"), torch.Tensor):
        loaded = loaded["features"]
    if not isinstance(loaded, torch.Tensor):
        raise InputError(f"{path}: holds a {type(loaded).__name__}, not a tensor. {_PLAIN}")
    return _tensor_values(path, loaded)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The named tensors of a network's weights, from .safetensors, or from .bin, .pt, .pth without code.

    Raises:
        InputError: Another kind of file, or damaged.
        PolicyError: Pickled code.
    """
    import torch

    require_file(path)
    if path.suffix.lower() == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return dict(load_file(path))
        except SafetensorError as error:
            raise InputError(
                f"{path}: this is not a whole safetensors file ({error}). Copy or download it again."
            ) from error
    loaded = _load_pt(path, "weights", "Save them as .safetensors.")
    for inner in ("state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(inner), dict):
            loaded = loaded[inner]
    if not isinstance(loaded, dict) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise InputError(
            f"{path}: holds a {type(loaded).__name__}, not named tensors. Save a state_dict as .safetensors."
        )
    return {str(name): tensor for name, tensor in loaded.items()}


def _load_pt(path: Path, what: str, remedy: str) -> Any:
    import torch

    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 10):
        plain = ".h5 or .safetensors" if what == "features" else ".safetensors"
        raise PolicyError(
            f"{path}: .pt files are opened with torch 2.10 or newer only (this is {torch.__version__}): older ones "
            f"can be made to run code in them. Upgrade torch, or save the {what} as {plain}."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old formats are announced as deprecated
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise PolicyError(
            f"{path}: refused, because this {path.suffix} holds Python objects that could run code (or is damaged). "
            f"{remedy}"
        ) from error
    except Exception as error:  # a damaged or hostile stream fails in the unpickler in every way there is
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{path}: this is not a whole {path.suffix} file ({reason}). Copy or extract it again."
        ) from error


def _tensor_values(path: Path, tensor: torch.Tensor) -> NDArray[Any]:
    import torch

    dense = tensor.layout == torch.strided
    _require_shape(path, tuple(tensor.shape), tensor.dtype, floats=tensor.is_floating_point() and dense)
    values: NDArray[Any] = tensor.detach().float().numpy()
    return values
