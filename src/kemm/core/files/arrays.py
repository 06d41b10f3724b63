"""Arrays: kemm's own, and the patch features that others' tools wrote."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kemm.core.errors import InputError, IntegrityError, PolicyError
from kemm.core.files.hdf5 import read_hdf5_features
from kemm.core.files.kinds import refuse_other_kinds
from kemm.core.files.output import write_bytes
from kemm.core.files.patch_shape import PLAIN, require_patch_shape
from kemm.core.files.paths import require_file

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

_NPY = b"\x93NUMPY"


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
        array = read_hdf5_features(path)
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


def _read_npy(path: Path) -> NDArray[Any]:
    import numpy as np

    refuse_other_kinds(path, expected="an array in NumPy's .npy format", accept=(_NPY,))
    try:
        # Mapped, so that a header that promises more than the file holds allocates nothing.
        array: NDArray[Any] = np.load(path, allow_pickle=False, mmap_mode="r")
    except ValueError as error:
        if "object" in str(error).lower() or "pickle" in str(error).lower():
            raise PolicyError(
                f"{path}: refused, because this .npy holds pickled Python objects, which could run code. {PLAIN}"
            ) from error
        raise InputError(f"{path}: this .npy is damaged ({error}). Copy or extract it again.") from error
    except (EOFError, OSError, SyntaxError, TypeError) as error:
        raise InputError(f"{path}: this .npy is damaged ({error}). Copy or extract it again.") from error
    require_patch_shape(path, array.shape, array.dtype, floats=array.dtype.kind == "f")
    return array


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
        raise InputError(f"{path}: holds a {type(loaded).__name__}, not a tensor. {PLAIN}")
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
    require_patch_shape(path, tuple(tensor.shape), tensor.dtype, floats=tensor.is_floating_point() and dense)
    values: NDArray[Any] = tensor.detach().float().numpy()
    return values
