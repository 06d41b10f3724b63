"""Features of CLAM, TRIDENT and STAMP, written as each of them writes, become bags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from kemm.config import Study
from kemm.core.errors import InputError, PartialError, PolicyError
from kemm.core.files import sha256_of
from kemm.modalities.slides import read_bag
from kemm.modalities.slides.importing import UNKNOWN, find_importable, import_bag
from kemm.pipeline import import_slides
from slides.test_extraction import make_study

FEATURES = np.arange(12, dtype=np.float32).reshape(4, 3) / 10
PLACES = np.array([[0, 0], [512, 0], [0, 512], [512, 512]], dtype=np.int64)


def write_h5(
    path: Path,
    places: Any = PLACES,
    name: str = "features",
    of_file: dict[str, Any] | None = None,
    of_places: dict[str, Any] | None = None,
    features: Any = FEATURES,
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as handle:
        handle.create_dataset(name, data=features)
        handle.attrs.update(of_file or {})
        if places is not None:
            handle.create_dataset("coords", data=places).attrs.update(of_places or {})
    return path


def test_clams_features_and_places(tmp_path: Path) -> None:
    said = {"patch_size": 256, "patch_level": 1, "downsample": np.array([2.0])}
    bag = import_bag(write_h5(tmp_path / "A.h5", of_places=said), "A")
    np.testing.assert_allclose(bag.features, FEATURES, atol=1e-3)
    assert (bag.coordinates == PLACES).all()
    assert (bag.about.tool, bag.about.tile_side_px, bag.about.mpp) == ("CLAM", 512, None)
    assert bag.about.encoder == "unknown"
    assert bag.about.source_sha256 == sha256_of(tmp_path / "A.h5")


@pytest.mark.parametrize(
    "said",
    [
        {"patch_size": 256, "level0_magnification": 40, "target_magnification": 20},
        {"patch_size": 256, "patch_size_level0": 512, "level0_magnification": 40, "overlap": 0},
    ],
)
def test_tridents_attributes_give_the_side_at_full_resolution(tmp_path: Path, said: dict[str, Any]) -> None:
    path = write_h5(tmp_path / "A.h5", PLACES[None], of_places=said, features=FEATURES[None])
    bag = import_bag(path, "A", lambda name: 0.25)
    assert (bag.about.tool, bag.about.tile_side_px, bag.about.tile_side_um) == ("TRIDENT", 512, 128)
    assert (bag.coordinates == PLACES).all()


def test_clams_two_equal_scales_are_one_number(tmp_path: Path) -> None:
    said = {"patch_size": 256, "patch_level": 1, "downsample": np.array([4.0, 4.0])}
    bag = import_bag(write_h5(tmp_path / "A.h5", of_places=said), "A", lambda name: 0.25)
    assert (bag.about.tool, bag.about.tile_side_px, bag.about.tile_side_um) == ("CLAM", 1024, 256)


def test_stamps_micrometres_become_pixels_where_the_resolution_is_known(tmp_path: Path) -> None:
    said = {"stamp_version": "2.3.0", "unit": "um", "tile_size_um": 256.0, "extractor": "uni2-abc"}
    path = write_h5(tmp_path / "A.h5", PLACES / 2.0, name="feats", of_file=said)
    bag = import_bag(path, "A", lambda name: 0.5)
    assert (bag.coordinates == PLACES).all()
    assert (bag.about.tool, bag.about.encoder) == ("STAMP 2.3.0", "uni2-abc")
    assert (bag.about.tile_side_um, bag.about.tile_side_px, bag.about.mpp) == (256, 512, 0.5)
    unknown = import_bag(path, "A")
    assert (unknown.coordinates == UNKNOWN).all()
    assert (unknown.about.tile_side_um, unknown.about.tile_side_px) == (256, None)


def test_a_pt_has_features_but_no_places(tmp_path: Path) -> None:
    torch.save(torch.from_numpy(FEATURES), tmp_path / "A.pt")
    bag = import_bag(tmp_path / "A.pt", "A")
    assert (bag.coordinates == UNKNOWN).all()
    np.testing.assert_allclose(bag.features, FEATURES, atol=1e-3)


def test_of_an_h5_and_a_pt_the_h5_is_taken(tmp_path: Path) -> None:
    for path in (
        tmp_path / "pt_files" / "A.pt",
        tmp_path / "h5_files" / "A.h5",
        tmp_path / "pt_files" / "B.pt",
    ):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = find_importable(tmp_path)
    assert {name: path.suffix for name, path in found.items()} == {"A": ".h5", "B": ".pt"}


def test_two_h5_of_one_slide_are_refused(tmp_path: Path) -> None:
    for place in ("patches", "features"):
        write_h5(tmp_path / place / "A.h5")
    with pytest.raises(InputError, match=r"slide A has two files, features/A\.h5 and patches/A\.h5"):
        find_importable(tmp_path)


# --- what is refused ---------------------------------------------------------------------------


def secret(tmp_path: Path) -> Path:
    return write_h5(tmp_path / "secret.h5")


@pytest.mark.parametrize("name", ["features", "coords"])
def test_a_link_to_another_file_is_not_followed(tmp_path: Path, name: str) -> None:
    path = tmp_path / "A.h5"
    with h5py.File(path, "w") as handle:
        if name == "coords":
            handle.create_dataset("features", data=FEATURES)
        handle[name] = h5py.ExternalLink(str(secret(tmp_path)), f"/{name}")
    with pytest.raises(PolicyError, match=f"'{name}' is a link to another place and is not followed"):
        import_bag(path, "A")


def test_external_storage_and_virtual_datasets_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(bytes(4 * 12))
    with h5py.File(tmp_path / "A.h5", "w") as handle:
        handle.create_dataset("features", (4, 3), "f4", external=[(str(tmp_path / "raw"), 0, 48)])
    with pytest.raises(PolicyError, match="stored in other files"):
        import_bag(tmp_path / "A.h5", "A")
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[:] = h5py.VirtualSource(secret(tmp_path), "features", (4, 3))
    with h5py.File(tmp_path / "B.h5", "w") as handle:
        handle.create_virtual_dataset("features", layout)
    with pytest.raises(PolicyError, match="stored in other files"):
        import_bag(tmp_path / "B.h5", "B")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"places": PLACES[:3]}, "4 features and 3 coordinates"),
        ({"places": PLACES[:, :1]}, r"'coords' must be numbers of shape \(patch, 2\)"),
        ({"features": FEATURES * 1e6}, "beyond what 16 bits hold"),
        ({"features": FEATURES * np.nan}, "not finite"),
        ({"places": PLACES + 2**40}, "coordinates are beyond any slide"),
        ({"name": "other"}, "there is no dataset 'features'"),
    ],
)
def test_a_file_that_cannot_be_is_named(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    path = write_h5(tmp_path / "A.h5", **options)
    with pytest.raises(InputError, match=rf"A\.h5: .*{message}"):
        import_bag(path, "A")


def test_a_declared_size_above_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "A.h5", "w") as handle:
        handle.create_dataset("features", (10_000_000, 2048), "f4", chunks=(1000, 2048))
    with pytest.raises(InputError, match="above the limit"):
        import_bag(tmp_path / "A.h5", "A")


# --- a whole folder ----------------------------------------------------------------------------


def test_a_folder_is_imported_once_and_bad_files_are_named(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", images=None, folder="features")
    write_h5(tmp_path / "theirs" / "A-1.h5", of_places={"patch_size": 256, "patch_level": 0})
    write_h5(tmp_path / "theirs" / "B.h5", places=PLACES[:1])
    result = import_slides(Study.load(folder), tmp_path / "theirs")
    assert ([one.name for one in result.done], set(result.failed)) == (["A-1"], {"B"})
    with pytest.raises(PartialError, match="1 of 2 slides failed"):
        result.raise_if_failed()
    write_h5(tmp_path / "theirs" / "B.h5")
    again = import_slides(Study.load(folder), tmp_path / "theirs")
    assert ([one.name for one in again.done], again.kept) == (["B"], 1)
    assert read_bag(folder / "features" / "A-1.safetensors").about.tile_side_px == 256


def test_a_folder_is_not_imported_into_itself(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study")
    write_h5(folder / "features" / "A.h5")
    with pytest.raises(InputError, match="which is this folder or within it"):
        import_slides(Study.load(folder), folder / "features")
