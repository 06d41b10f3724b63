"""Where the patches of a feature file lie, as tools beside kemm write it into HDF5."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kemm.core.errors import InputError, PolicyError
from kemm.core.files.kinds import HDF5, refuse_other_kinds
from kemm.core.files.paths import require_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAMES = ("coords", "coordinates")
MOST_PATCHES = 5_000_000


def read_coordinates(path: Path) -> tuple[NDArray[np.float64], dict[str, Any]] | None:
    """The dataset "coords" (patch, 2) of an .h5 with its attributes and the file's; None where there is none.

    Nor are there any in a file of STAMP's, known by "feats": it writes micrometres, or pixels of a picture of its own.

    Raises:
        InputError: Damaged, or of another shape.
        PolicyError: Kept in other files.
    """
    import h5py
    import numpy as np

    require_file(path)
    refuse_other_kinds(path, expected="an HDF5 file", accept=(HDF5,))
    try:
        with h5py.File(path, "r", locking=False) as handle:
            name = next((name for name in NAMES if handle.get(name, getlink=True) is not None), None)
            if name is None or "feats" in handle:
                return None
            if not isinstance(handle.get(name, getlink=True), h5py.HardLink):
                raise PolicyError(
                    f"{path}: {name!r} is a link to another place and is not followed. Copy the data into the file."
                )
            dataset = handle[name]
            if not isinstance(dataset, h5py.Dataset):
                raise InputError(f"{path}: {name!r} is a group, not a dataset. Extract this slide again.")
            if dataset.external or dataset.is_virtual:
                raise PolicyError(
                    f"{path}: {name!r} is stored in other files, which are not opened. Copy the data into the file."
                )
            shape: tuple[int, ...] = dataset.shape or ()
            flat: tuple[int, ...] = shape[1:] if len(shape) == 3 and shape[0] == 1 else shape
            if len(flat) != 2 or flat[1] != 2 or flat[0] > MOST_PATCHES or dataset.dtype.kind not in "iuf":
                raise InputError(
                    f"{path}: {name!r} must be numbers of shape (patch, 2), not {dataset.dtype} of shape {shape}. "
                    "Extract this slide again."
                )
            values = np.asarray(dataset[()], dtype=np.float64).reshape(-1, 2)
            if not np.isfinite(values).all():
                raise InputError(
                    f"{path}: {name!r} has values that are not finite. Extract this slide again."
                )
            return values, {**dict(handle.attrs), **dict(dataset.attrs)}
    except (OSError, RuntimeError, KeyError) as error:
        raise InputError(
            f"{path}: this is not a whole HDF5 file ({error}). Copy or extract it again."
        ) from error
