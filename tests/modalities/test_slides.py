"""Slides: which file is whose, and how bags are packed end to end."""

from __future__ import annotations

import errno
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kemm.core.errors import Faults, InputError
from kemm.core.files import resolve
from kemm.modalities.slides import (
    SlideBags,
    SlidesConfig,
    SlideSource,
    find_slides,
    open_slides,
    pack_slides,
    packing,
    probe_slides,
    read_table_cases,
    sources,
)

CASES = ["P1", "P1-2", "P3"]


def bag(patches: int, first: float = 0.0, width: int = 3) -> NDArray[np.float32]:
    """Patch i is (first + i, first + i, ...)."""
    return np.repeat(first + np.arange(patches, dtype=np.float32)[:, None], width, axis=1)


def write(path: Path, values: NDArray[np.float32]) -> Path:
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".h5":
        with h5py.File(path, "w") as handle:
            handle.create_dataset("features", data=values)
    elif path.suffix == ".pt":
        torch.save(torch.from_numpy(values), path)
    else:
        np.save(path, values)
    return path


def found(folder: Path, listed: dict[str, str] | None = None, faults: Faults | None = None) -> SlideSource:
    told = faults or Faults()
    source = find_slides(
        SlidesConfig(folder="features"), lambda path: resolve(path, folder), CASES, listed, told
    )
    told.raise_if_any()
    assert source is not None
    return source


def packed(source: SlideSource, folder: Path, cases: list[str] = CASES) -> SlideBags:
    pack_slides(source, cases, folder / "features.npy", folder / "offsets.npy")
    return open_slides(folder / "features.npy", folder / "offsets.npy")


# --- which file is whose -----------------------------------------------------------------------


def test_a_file_belongs_to_the_longest_case_id_its_name_begins_with(tmp_path: Path) -> None:
    for name in ("P1", "P1-DX1", "P1-2", "P1-2-DX1", "P1-2_x.y", "P10", "P3.svs", "Q"):
        write(tmp_path / "features" / f"{name}.npy", bag(1))
    source = found(tmp_path)
    names = {case: [path.name for path in paths] for case, paths in source.files.items()}
    assert names == {
        "P1": ["P1-DX1.npy", "P1.npy"],
        "P1-2": ["P1-2-DX1.npy", "P1-2.npy", "P1-2_x.y.npy"],
        "P3": ["P3.svs.npy"],
    }
    assert (source.cases, source.bags) == (3, 6)


def test_the_clinical_table_says_which_slides_are_whose(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write(tmp_path / "features" / f"{name}.npy", bag(1))
    faults = Faults()
    source = found(tmp_path, {"P1": " b ; a;b", "P1-2": "", "P3": "c;gone"}, faults)
    assert {case: [path.stem for path in paths] for case, paths in source.files.items()} == {
        "P1": ["b", "a"],
        "P3": ["c"],
    }
    assert [str(fault) for fault in faults.warnings] == [
        f"{tmp_path / 'features'}: 1 of 4 slides listed for cases have no feature file: gone. "
        "Extract them too, or go on without."
    ]


def test_a_slide_of_two_patients_is_a_fault(tmp_path: Path) -> None:
    write(tmp_path / "features" / "a.npy", bag(1))
    with pytest.raises(InputError, match=r"slide a is listed for two cases, P1 and P3\. A slide is of one"):
        found(tmp_path, {"P1": "a", "P3": "a"})


def test_files_of_others_are_not_looked_at(tmp_path: Path) -> None:
    write(tmp_path / "features" / "P1.npy", bag(1))
    (tmp_path / "features" / "Q.npy").write_bytes(b"")
    (tmp_path / "features" / "Q.pt").symlink_to("/dev/null")
    (tmp_path / "features" / "P1.txt").write_text("notes")
    assert list(found(tmp_path).files) == ["P1"]


def test_a_changed_file_changes_the_identity(tmp_path: Path) -> None:
    path = write(tmp_path / "features" / "P1.npy", bag(2))
    before = found(tmp_path).identity
    assert found(tmp_path).identity == before
    write(path, bag(3))
    assert found(tmp_path).identity != before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (SlidesConfig(), "slides has neither images nor a folder nor a table"),
        (SlidesConfig(table="a.csv", folder="b"), r"slides\.table and slides\.folder are both set"),
        (SlidesConfig(table="a.csv"), r"a\.csv: there is no such file"),
        (SlidesConfig(table="."), "this is not a regular file but a folder"),
        (SlidesConfig(folder="empty"), r"no file ends in \.h5"),
    ],
)
def test_settings_that_lead_nowhere_are_told(settings: SlidesConfig, message: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    faults = Faults()
    assert find_slides(settings, lambda path: resolve(path, tmp_path), CASES, None, faults) is None
    with pytest.raises(InputError, match=message):
        faults.raise_if_any()


def test_what_is_packed_is_known_by_slide_and_content(tmp_path: Path) -> None:
    write(tmp_path / "features" / "P1-a.npy", bag(2))
    write(tmp_path / "features" / "P1-b.npy", bag(2, first=7))
    write(tmp_path / "features" / "P3.npy", bag(2))
    source = found(tmp_path)
    slides = pack_slides(source, CASES, tmp_path / "features.npy", tmp_path / "offsets.npy")
    assert [[(one.slide, one.patches) for one in case] for case in slides] == [
        [("P1-a", 2), ("P1-b", 2)],
        [],
        [("P3", 2)],
    ]
    (a, b), _, (same,) = slides
    assert a.digest == same.digest != b.digest
    bags = open_slides(tmp_path / "features.npy", tmp_path / "offsets.npy", slides)
    assert pickle.loads(pickle.dumps(bags)).slides_of(0) == (a, b)


# --- looked at before a run --------------------------------------------------------------------


def test_every_bad_file_is_found_before_a_run(tmp_path: Path) -> None:
    write(tmp_path / "features" / "P1.npy", bag(2))
    write(tmp_path / "features" / "P1-2.npy", bag(2, width=5))
    (tmp_path / "features" / "P3.h5").write_bytes(b"not a slide")
    faults = Faults()
    assert probe_slides(found(tmp_path), faults) == 3
    assert len(faults.errors) == 2
    assert "P1-2.npy: features are 5 wide, those of the slides before are 3" in str(faults.errors[0])
    assert "P3.h5: expected an HDF5 file, but it does not begin like one" in str(faults.errors[1])


def test_of_a_large_study_only_the_first_files_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in CASES:
        write(tmp_path / "features" / f"{name}.npy", bag(2))
    size = (tmp_path / "features" / "P1.npy").stat().st_size
    monkeypatch.setattr(sources, "PROBED_BYTES", size + 1)
    assert probe_slides(found(tmp_path), Faults()) == 2


# --- packing -----------------------------------------------------------------------------------


def test_bags_of_all_formats_lie_side_by_side_in_the_order_of_cases(tmp_path: Path) -> None:
    write(tmp_path / "features" / "P3-a.pt", bag(2, first=30))
    write(tmp_path / "features" / "P3-b.h5", bag(1, first=40))
    write(tmp_path / "features" / "P1.npy", bag(3, first=10))
    bags = packed(found(tmp_path), tmp_path)
    assert bags.offsets.tolist() == [0, 3, 3, 6]
    assert bags.width == 3
    assert bags.present.tolist() == [True, False, True]
    assert bags.bag(0)[:, 0].tolist() == [10, 11, 12]
    assert bags.bag(1).shape == (0, 3)
    assert bags.bag(2)[:, 0].tolist() == [30, 31, 40]
    assert bags.bag(2).dtype == np.float32


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=6).filter(any), st.integers(1, 5))
def test_what_is_packed_is_what_was_there(
    tmp_path_factory: pytest.TempPathFactory, patches: list[int], width: int
) -> None:
    folder = tmp_path_factory.mktemp("packed")
    cases = [f"case{number}" for number in range(len(patches))]
    values = {
        case: np.random.default_rng(count).normal(size=(count, width)).astype(np.float16).astype(np.float32)
        for case, count in zip(cases, patches, strict=True)
        if count
    }
    files = {case: (write(folder / f"{case}.npy", array),) for case, array in values.items()}
    bags = packed(SlideSource(files, None, ""), folder, cases)
    for row, case in enumerate(cases):
        np.testing.assert_array_equal(bags.bag(row), values.get(case, np.zeros((0, width))))


def test_small_features_take_half_the_room_and_large_ones_keep_their_size(tmp_path: Path) -> None:
    write(tmp_path / "features" / "P1.npy", bag(2))
    assert packed(found(tmp_path), tmp_path).features.dtype == np.float16
    write(tmp_path / "features" / "P1.npy", bag(2, first=1e6))
    bags = packed(found(tmp_path), tmp_path)
    assert bags.features.dtype == np.float32
    assert bags.bag(0)[0, 0] == 1e6


def test_a_feature_beyond_sixteen_bits_among_small_ones_is_told(tmp_path: Path) -> None:
    write(tmp_path / "features" / "P1.npy", bag(2))
    write(tmp_path / "features" / "P3.npy", bag(2, first=1e6))
    with pytest.raises(InputError, match=r"P3\.npy: a feature is 1e\+06, beyond what 16 bits hold"):
        packed(found(tmp_path), tmp_path)


def test_another_width_is_told_with_both_widths(tmp_path: Path) -> None:
    write(tmp_path / "features" / "P1.npy", bag(2))
    write(tmp_path / "features" / "P3.npy", bag(2, width=4))
    with pytest.raises(InputError, match=r"P3\.npy: features are 4 wide, those of the slides before are 3"):
        packed(found(tmp_path), tmp_path)


def test_a_table_gives_one_row_a_slide(tmp_path: Path) -> None:
    (tmp_path / "slides.csv").write_text("id,f1,f2\nP3,1,2\nQ,5,6\nP3,3,4\nP1,,9\n")
    faults = Faults()
    source = find_slides(
        SlidesConfig(table="slides.csv", case="id"), lambda path: resolve(path, tmp_path), CASES, None, faults
    )
    assert source is not None
    source = read_table_cases(source, CASES, faults)
    assert (source.cases, source.bags) == (2, 2)
    bags = packed(source, tmp_path)
    assert bags.bag(2).tolist() == [[1, 2], [3, 4]]
    np.testing.assert_array_equal(bags.bag(0), [[np.nan, 9]])
    assert faults.found == []


def test_a_table_of_others_is_told(tmp_path: Path) -> None:
    (tmp_path / "slides.csv").write_text("case_id,f1\nX1,1\n")
    faults = Faults()
    read_table_cases(SlideSource({}, (tmp_path / "slides.csv", "case_id"), ""), CASES, faults)
    assert "none of its 1 rows belongs to a case: its ids look like 'X1'" in str(faults.errors[0])


def test_a_full_disk_is_told_with_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "features" / "P1.npy", bag(2))
    source = found(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(packing.np, "save", full)
    with pytest.raises(InputError, match=r"features\.npy: the disk is full\. Free some space"):
        packed(source, tmp_path)


def test_packed_bags_go_to_a_worker_as_a_path(tmp_path: Path) -> None:
    write(tmp_path / "features" / "P1.npy", bag(5000, width=30))
    bags = packed(found(tmp_path), tmp_path)
    sent = pickle.dumps(bags)
    assert len(sent) < 5000 < bags.features.nbytes
    arrived = pickle.loads(sent)
    assert isinstance(arrived.features, np.memmap)
    np.testing.assert_array_equal(arrived.bag(0), bags.bag(0))
    in_memory = SlideBags(np.asarray(bags.features).copy(), bags.offsets)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(in_memory)).bag(0), bags.bag(0))
