"""Patch features and their places in HDF5, as CLAM, TRIDENT and STAMP write them.

An .h5 can name any other file of the machine as the place of its data: whatever does is refused, and
declared sizes are checked before anything is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kemm.core.errors import InputError, PolicyError
from kemm.core.files.kinds import HDF5, refuse_other_kinds
from kemm.core.files.patch_shape import PLAIN, require_patch_shape
from kemm.core.files.paths import require_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COORDINATES = ("coords", "coordinates")
MOST_PATCHES = 5_000_000

Attributes = Mapping[str, str | float]
"""Those that are text or a number."""


@dataclass(frozen=True)
class TiledFeatures:
    """Patch features of one slide with what else their file says."""

    features: NDArray[Any]
    """(patch, width), as stored."""
    coordinates: NDArray[np.float64] | None
    """(patch, 2), in the unit of whoever wrote them."""
    attributes: Attributes
    """Of the coordinates, of the file and of the features, whichever says a name first."""


def read_hdf5_features(path: Path) -> NDArray[Any]:
    """The dataset "features".

    Raises:
        InputError: None is there, of another shape or dtype, or damaged.
        PolicyError: Data kept in other files.
    """
    with _opened(path) as handle:
        return _features(path, _dataset(path, handle, "features"))


def read_tiled_features(path: Path) -> TiledFeatures:
    """Features ("features" or "feats") and places of tiles.

    Raises:
        InputError: No features, or features and coordinates of different lengths, or damaged.
        PolicyError: Data kept in other files.
    """
    with _opened(path) as handle:
        name = "feats" if not _holds(handle, "features") and _holds(handle, "feats") else "features"
        dataset = _dataset(path, handle, name)
        values = _features(path, dataset)
        places = _coordinates(path, handle)
        if places is None:
            return TiledFeatures(values, None, _attributes(handle, dataset))
        if len(places[0]) != len(values):
            raise InputError(
                f"{path}: {len(values):,} features and {len(places[0]):,} coordinates. Extract this slide again."
            )
        return TiledFeatures(values, places[0], _attributes(places[1], handle, dataset))


def read_coordinates(path: Path) -> tuple[NDArray[np.float64], Attributes] | None:
    """The places alone, (patch, 2), with attributes of theirs and the file's; None where there are none.

    Raises:
        InputError: Damaged, or of another shape.
        PolicyError: Data kept in other files.
    """
    with _opened(path) as handle:
        places = _coordinates(path, handle)
        return None if places is None else (places[0], _attributes(places[1], handle))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import h5py

    require_file(path)
    refuse_other_kinds(path, expected="an HDF5 file", accept=(HDF5,))
    try:
        # Only read, never written by kemm: no lock, which read-only network folders refuse.
        with h5py.File(path, "r", locking=False) as handle:
            yield handle
    except (OSError, RuntimeError, KeyError) as error:
        raise InputError(
            f"{path}: this is not a whole HDF5 file ({error}). Copy or extract it again."
        ) from error


def _holds(handle: Any, name: str) -> bool:
    # By its link: to ask whether a name is "in" the file would follow it.
    return handle.get(name, getlink=True) is not None


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
        raise InputError(f"{path}: {name!r} is a group, not a dataset. {PLAIN}")
    if dataset.external or dataset.is_virtual:
        raise PolicyError(
            f"{path}: {name!r} is stored in other files, which are not opened. Copy the data into the file."
        )
    return dataset


def _features(path: Path, dataset: Any) -> NDArray[Any]:
    require_patch_shape(path, dataset.shape or (), dataset.dtype, floats=dataset.dtype.kind == "f")
    values: NDArray[Any] = dataset[()]
    return values[0] if values.ndim == 3 else values


def _coordinates(path: Path, handle: Any) -> tuple[NDArray[np.float64], Any] | None:
    """Places, and their dataset."""
    import numpy as np

    name = next((name for name in COORDINATES if _holds(handle, name)), None)
    if name is None:
        return None
    dataset = _dataset(path, handle, name)
    shape: tuple[int, ...] = dataset.shape or ()
    flat = shape[1:] if len(shape) == 3 and shape[0] == 1 else shape
    if len(flat) != 2 or flat[1] != 2 or flat[0] > MOST_PATCHES or dataset.dtype.kind not in "iuf":
        raise InputError(
            f"{path}: {name!r} must be numbers of shape (patch, 2), not {dataset.dtype} of shape {shape}. "
            "Extract this slide again."
        )
    values = np.asarray(dataset[()], dtype=np.float64).reshape(-1, 2)
    if not np.isfinite(values).all():
        raise InputError(f"{path}: {name!r} has values that are not finite. Extract this slide again.")
    return values, dataset


def _attributes(*sources: Any) -> dict[str, str | float]:
    found: dict[str, str | float] = {}
    for source in sources:
        for key, value in source.attrs.items():
            plain = _plain(value)
            if plain is not None:
                found.setdefault(str(key), plain)
    return found


def _plain(value: Any) -> str | float | None:
    """Text or a number; None of anything else."""
    import numpy as np

    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    # CLAM writes what a level is scaled down by twice, across and down.
    if isinstance(value, np.ndarray) and value.size and (value == value.flat[0]).all():
        value = value.flat[0]
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, (bool, np.bool_)):
        return float(value)
    return None
