from __future__ import annotations

import csv
import errno
import gzip
import json
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from kemm.core.errors import InputError, IntegrityError, KemmError, PolicyError
from kemm.core.files import (
    locked,
    read_arrays,
    read_features,
    read_frame,
    read_json,
    read_numbers,
    read_table,
    read_text,
    require_file,
    resolve,
    safe_name,
    sha256_of,
    table_columns,
    write_arrays,
    write_bytes,
    write_frame,
    write_json,
    write_text,
    writing,
)


def refusal(kind: type[KemmError], call: Any, *arguments: Any) -> str:
    with pytest.raises(kind) as raised:
        call(*arguments)
    assert type(raised.value) is kind or issubclass(type(raised.value), kind)
    return str(raised.value)


# --- paths ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["../secret.csv", "/etc/passwd", "a/../../secret.csv", "link/secret.csv", "~/x"]
)
def test_a_path_out_of_the_study_is_refused_and_the_declaration_named(tmp_path: Path, path: str) -> None:
    study = tmp_path / "study"
    study.mkdir()
    (tmp_path / "secret.csv").write_text("a")
    (study / "link").symlink_to(tmp_path)
    message = refusal(PolicyError, resolve, path, study)
    assert message.startswith(f"{path} points outside the study folder {study}")
    assert "declare the folder it is in: `data_root: /that/folder` in study.yaml" in message


def test_a_path_may_point_below_the_study_and_below_a_declared_folder(tmp_path: Path) -> None:
    study, data = tmp_path / "study", tmp_path / "data"
    study.mkdir()
    data.mkdir()
    assert resolve("a/../b.csv", study) == study / "b.csv"
    assert resolve("../data/x.csv", study, [data]) == data / "x.csv"
    assert resolve(str(data / "x.csv"), study, [data]) == data / "x.csv"
    # Beside a declared folder whose name it begins with is still outside.
    refusal(PolicyError, resolve, "../data2/x.csv", study, [data])


def test_what_cannot_be_a_path_is_refused(tmp_path: Path) -> None:
    assert "cannot be a path" in refusal(InputError, resolve, "a\0b", tmp_path)


def test_names_made_of_ids_are_plain_short_and_never_equal() -> None:
    ids = ["TCGA-01", "../../etc/passwd", "a/b", "a_b", "ä", "", "x" * 500, "a\0b", "CON"]
    names = [safe_name(each) for each in ids]
    assert len(set(names)) == len(ids)
    for name in names:
        assert len(name) <= 51
        assert name.isascii()
        assert not set(name) & set("/\\.\0")


def test_a_missing_file_suggests_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "reports.parquet").write_text("x")
    assert refusal(InputError, require_file, tmp_path / "report.parquet").endswith(
        "there is no such file; did you mean 'reports.parquet'?"
    )
    assert "does not exist or is empty" in refusal(InputError, require_file, tmp_path / "no" / "a.csv")


def test_a_folder_an_empty_file_and_a_device_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    assert "not a regular file but a folder. Name a file." in refusal(InputError, read_table, tmp_path)
    assert "the file is empty (0 bytes). Copy it again." in refusal(
        InputError, read_table, tmp_path / "empty.csv"
    )
    assert "not a regular file but a device" in refusal(InputError, require_file, Path("/dev/null"))
    assert "cannot be read" in refusal(InputError, require_file, tmp_path / ("x" * 300))


# --- what a file is ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "what", "remedy"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a git-lfs pointer", "git lfs pull"),
        (b"\n <!DOCTYPE html><html>", "an HTML page (a login or error page?)", "download it again"),
        (b"\xef\xbb\xbf<HTML><body>", "an HTML page", "signed in"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0), "a gzip archive", "gunzip"),
        ("a,b\n1,2\n".encode("utf-16"), "text in UTF-16", "save it as UTF-8"),
        ("id,months\n1,2\n".encode("utf-16-le"), "text in UTF-16", "save it as UTF-8"),
        (b"%PDF-1.7", "a PDF", "export its text"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file", "save it as .xlsx or .csv"),
        (b"PK\x03\x04rest", "a zip archive", "true suffix"),
        (b"PAR1rest", "a Parquet file", "rename it to .parquet"),
        (pickle.dumps([1]), "a Python pickle", "never opened"),
        (b"\x89PNG\r\n", "a PNG picture", "give the text"),
        (b"a,b\n\x00\x01\x02\x03,4\n", "a binary file", "Export it as text"),
    ],
)
def test_what_a_table_is_instead_is_named(tmp_path: Path, content: bytes, what: str, remedy: str) -> None:
    path = tmp_path / "clinical.csv"
    path.write_bytes(content)
    for read in (read_table, read_numbers, table_columns):
        message = refusal(InputError, read, path)
        assert message.startswith(f"{path}: expected a table in plain text, but this is {what}")
        assert remedy in message
    assert what in refusal(InputError, read_text, path)


def test_other_suffixes_are_refused_by_content_if_known_else_by_name(tmp_path: Path) -> None:
    for name, content, expected in (
        ("a.csv.gz", gzip.compress(b"a", mtime=0), "this is a gzip archive"),
        ("a.pkl", pickle.dumps(1), "this is a Python pickle"),
        ("a.dat", b"a,b\n", "tables end in .csv, .tsv, .txt, .parquet, .xlsx, not '.dat'"),
    ):
        (tmp_path / name).write_bytes(content)
        assert expected in refusal(InputError, read_table, tmp_path / name)


# --- text -------------------------------------------------------------------------------------


def test_text_loses_its_mark_and_its_carriage_returns_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffKarzinom µ 癌\r\nzwei\rdrei\u2028\n".encode())
    assert read_text(path) == "Karzinom µ 癌\nzwei\ndrei\u2028\n"


def test_latin_1_is_named_with_its_line_and_character(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,site\nx,M\xfcnchen\n")
    message = refusal(InputError, read_table, path)
    assert (
        "line 2 holds a byte that is not UTF-8 ('ü', if this is Windows-1252 or Latin-1). Save it as UTF-8."
        in message
    )


def test_a_text_that_is_too_large_or_turns_binary_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"a" * 600 + b"\0")
    assert "this is a binary file" in refusal(InputError, read_text, path)
    with pytest.raises(
        InputError, match=r"601 bytes are more than the 600 that plain text in UTF-8 may have"
    ):
        read_text(path, most_bytes=600)


# --- tables -----------------------------------------------------------------------------------


def test_cells_stay_what_they_look_like(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(
        '\ufeffid , note\r\nNA,"a, ""b""\r\nc"\r\n001,\r\n1e5,癌\r\n\r\n,,\r\n'.replace(",,", ",").encode()
    )
    table = read_table(tmp_path / "a.csv")
    assert list(table.columns) == ["id", "note"]
    assert table.to_numpy().tolist() == [["NA", 'a, "b"\nc'], ["001", ""], ["1e5", "癌"]]
    (tmp_path / "a.tsv").write_text("id\tnote\nNA\ta,b\n")
    assert read_table(tmp_path / "a.tsv").to_numpy().tolist() == [["NA", "a,b"]]


_CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@given(
    rows=st.lists(st.tuples(_CELL, _CELL), min_size=1, max_size=6), suffix=st.sampled_from([".csv", ".tsv"])
)
def test_what_was_written_as_a_table_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], suffix: str
) -> None:
    path = tmp_path_factory.mktemp("table") / f"a{suffix}"
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, delimiter="," if suffix == ".csv" else "\t")
        writer.writerows([("id", "x", "y"), *((f"c{index}", *row) for index, row in enumerate(rows))])
    # Line ends become "\n", inside cells too; all else is as it was.
    expected = [[cell.replace("\r\n", "\n").replace("\r", "\n") for cell in row] for row in rows]
    assert read_table(path)[["x", "y"]].to_numpy().tolist() == expected


def test_a_column_name_that_stands_twice_is_kept_for_the_reader_to_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,x,x\na,1,2\n")
    write = pa.Table.from_arrays([pa.array(["a"]), pa.array([1]), pa.array([2])], names=["id", "x", "x"])
    pq.write_table(write, tmp_path / "a.parquet")
    for name in ("a.csv", "a.parquet"):
        table = read_table(tmp_path / name)
        assert list(table.columns) == ["id", "x", "x"]
        assert table.to_numpy().tolist() == [["a", "1", "2"]]
        ids, numbers = read_numbers(tmp_path / name)
        assert ids == ["a"]
        assert list(numbers.columns) == ["x", "x"]
        assert numbers.to_numpy().tolist() == [[1, 2]]


def test_a_blank_line_keeps_its_place_so_that_rows_are_counted_as_the_user_does(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,x\na,1\n\nb,2\n")
    assert read_table(tmp_path / "a.csv")["id"].tolist() == ["a", "", "b"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a;b;c\n1;2;3\n", "columns are separated by semicolons, not by commas. Save it with commas as .csv"),
        ("a\tb\n1\t2\n", "columns are separated by tabs, not by commas"),
        ("a,b\n1,2\n1\n1,2,3\n", "row 2: 1 cells, where the header has 2. Give every row as many cells"),
        ("a,b\n1,2\n1\n1,2,3\n", "row 3: 3 cells, where the header has 2"),
        ('a,b\n"x,y",2\n65,3,1\n', "row 2: 3 cells, where the header has 2"),
        ("a,b\n1,x,y\n", "The header lacks a name for the first column"),
        ('a,b\n1,"never closed\n2,3\n', "this is not a table"),
        ("\na,b\n", "the first line is empty. Put the names of the columns there."),
    ],
)
def test_what_is_no_regular_table_is_refused_with_the_rows(
    tmp_path: Path, content: str, expected: str
) -> None:
    (tmp_path / "a.csv").write_text(content)
    assert expected in refusal(InputError, read_table, tmp_path / "a.csv")
    assert expected in refusal(InputError, read_numbers, tmp_path / "a.csv")


def test_a_cell_may_hold_a_report_of_a_megabyte(tmp_path: Path) -> None:
    report = "Tumour, 3 cm. " * 80_000
    (tmp_path / "a.csv").write_text(f'id,text\na,"{report}"\n')
    assert read_table(tmp_path / "a.csv")["text"].tolist() == [report]


def test_parquet_cells_become_text_without_loss(tmp_path: Path) -> None:
    columns = {
        "id": pa.array([2**60 + 1, None]),
        "float": pa.array([1.0, float("nan")]),
        "half": pa.array([0.5, None]),
        "flag": pa.array([True, None]),
        "level": pa.array(["NA", None]).dictionary_encode(),
        "bytes": pa.array([b"ab", None]),
        "slides": pa.array([["s1", "s2"], None]),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet").to_numpy().tolist() == [
        ["1152921504606846977", "1", "0.5", "True", "NA", "ab", "s1;s2"],
        [""] * 7,
    ]
    assert table_columns(tmp_path / "a.parquet") == list(columns)


def test_damaged_parquet_and_excel_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and then nothing that makes sense PAR1")
    (tmp_path / "b.parquet").write_text("a,b\n1,2\n")
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04 nothing")
    (tmp_path / "b.xlsx").write_text("a,b\n1,2\n")
    assert "not a readable Parquet table" in refusal(InputError, read_table, tmp_path / "a.parquet")
    assert "expected a Parquet table, but it does not begin like one" in refusal(
        InputError, read_table, tmp_path / "b.parquet"
    )
    assert "not a readable Excel workbook" in refusal(InputError, read_table, tmp_path / "a.xlsx")
    assert "expected an Excel workbook, but it does not begin like one" in refusal(
        InputError, read_table, tmp_path / "b.xlsx"
    )


def test_an_excel_sheet_is_read_as_its_user_sees_it(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (
        ["id", "months", "flag", None],
        ["001", 12.0, True, None],
        ["b", None, None, None],
        [None] * 4,
    ):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    table = read_table(tmp_path / "a.xlsx")
    assert list(table.columns) == ["id", "months", "flag"]
    assert table.to_numpy().tolist() == [["001", "12", "True"], ["b", "", ""]]


def test_numbers_are_read_from_every_kind_of_table(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"case": ["NA", "001"], "A__rnaseq": [1.5, np.nan], "B__mut": [1.0, 0.0], "C": [3, 4]}
    )
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    frame.to_excel(tmp_path / "a.xlsx", index=False)
    for name in ("a.parquet", "a.csv", "a.tsv", "a.xlsx"):
        ids, numbers = read_numbers(tmp_path / name, "case")
        assert ids == ["NA", "001"]
        assert (numbers.dtypes == np.float32).all()
        np.testing.assert_array_equal(numbers.to_numpy(), [[1.5, 1, 3], [np.nan, 0, 4]])


def test_cells_that_are_no_numbers_are_all_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,G1,G2\nx,1,high\ny,inf,2\nz,NA,1e300\n")
    message = refusal(InputError, read_numbers, tmp_path / "a.csv")
    assert message.startswith("3 faults in the input:")
    for place in (
        "row 2, column 'G1', case y: 'inf'",
        "row 1, column 'G2', case x: 'high'",
        "row 3, column 'G2', case z",
    ):
        assert place in message
    assert "is not a finite number. Correct the cell, leave it empty, or drop the column." in message


def test_a_missing_id_column_suggests_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("case_id,G1\nx,1\n")
    assert "there is no column 'case'; did you mean 'case_id'?" in refusal(
        InputError, read_numbers, tmp_path / "a.csv", "case"
    )


def test_a_wide_table_is_read_in_seconds(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(60, 4_000)).round(3)
    frame = pd.DataFrame(values, columns=[f"G{index}" for index in range(4_000)])
    frame.insert(0, "id", [f"c{index}" for index in range(60)])
    frame.to_csv(tmp_path / "a.csv", index=False)
    started = time.perf_counter()
    _, numbers = read_numbers(tmp_path / "a.csv")
    assert time.perf_counter() - started < 3
    np.testing.assert_allclose(numbers.to_numpy(), values, rtol=1e-6)


# --- features ---------------------------------------------------------------------------------

BAG = np.arange(6, dtype=np.float32).reshape(3, 2)


def test_features_are_read_from_every_kind_of_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as handle:
        handle["features"] = BAG[None].astype(np.float16)
        handle["coords"] = np.zeros((3, 2))
    torch.save(torch.nn.Parameter(torch.from_numpy(BAG).clone()), tmp_path / "a.pt")
    torch.save({"features": torch.from_numpy(BAG), "coords": torch.zeros(3, 2)}, tmp_path / "b.pt")
    torch.save(torch.from_numpy(BAG), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    np.save(tmp_path / "a.npy", BAG.astype(np.float64))
    save_file({"features": torch.from_numpy(BAG).bfloat16()}, tmp_path / "a.safetensors")
    for name in ("a.h5", "a.pt", "b.pt", "old.pt", "a.npy", "a.safetensors"):
        values = read_features(tmp_path / name)
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, BAG)


class Bomb:
    """Unpickled, it writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.target, "ran"))


@pytest.mark.parametrize("name", ["bomb.pt", "old.pt", "raw.pt", "bomb.npy"])
def test_pickled_code_is_refused_and_does_not_run(tmp_path: Path, name: str) -> None:
    path, target = tmp_path / name, tmp_path / "ran.txt"
    if name == "bomb.npy":
        np.save(path, np.array([Bomb(target)], dtype=object), allow_pickle=True)
    elif name == "raw.pt":
        path.write_bytes(pickle.dumps(Bomb(target)))
    else:
        torch.save({"features": Bomb(target)}, path, _use_new_zipfile_serialization=name == "bomb.pt")
    message = refusal(PolicyError, read_features, path)
    assert message.startswith(f"{path}: refused, because this .")
    assert "could run code" in message
    assert not target.exists()


def test_a_pickle_renamed_to_npy_is_named_and_does_not_run(tmp_path: Path) -> None:
    path, target = tmp_path / "a.npy", tmp_path / "ran.txt"
    path.write_bytes(pickle.dumps(Bomb(target)))
    assert "this is a Python pickle" in refusal(InputError, read_features, path)
    assert not target.exists()


def test_torch_before_2_10_opens_no_pt_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(torch.ones(2, 2), tmp_path / "a.pt")
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    assert "torch 2.10 or newer only (this is 2.9.1+cpu)" in refusal(
        PolicyError, read_features, tmp_path / "a.pt"
    )


def test_an_hdf5_file_cannot_make_us_open_another(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(np.ones(4, dtype=np.float32).tobytes())
    with h5py.File(tmp_path / "other.h5", "w") as handle:
        handle["features"] = BAG
    with h5py.File(tmp_path / "link.h5", "w") as handle:
        handle["features"] = h5py.ExternalLink("other.h5", "features")
    with h5py.File(tmp_path / "soft.h5", "w") as handle:
        handle["elsewhere"] = h5py.ExternalLink("other.h5", "features")
        handle["features"] = h5py.SoftLink("/elsewhere")
    with h5py.File(tmp_path / "storage.h5", "w") as handle:
        handle.create_dataset("features", (2, 2), "f4", external=[(str(secret), 0, 16)])
    with h5py.File(tmp_path / "virtual.h5", "w") as handle:
        layout = h5py.VirtualLayout((3, 2), "f4")
        layout[:] = h5py.VirtualSource("other.h5", "features", (3, 2))
        handle.create_virtual_dataset("features", layout)
    for name, expected in (
        ("link.h5", "'features' is a link to another place and is not followed"),
        ("soft.h5", "'features' is a link to another place and is not followed"),
        ("storage.h5", "'features' is stored in other files, which are not opened"),
        ("virtual.h5", "'features' is stored in other files, which are not opened"),
    ):
        message = refusal(PolicyError, read_features, tmp_path / name)
        assert f"{tmp_path / name}: {expected}. Copy the data into the file." in message


def test_declared_sizes_are_checked_before_anything_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as handle:
        handle.create_dataset("features", (2**31, 1024), "f4", chunks=(1024, 1024))
    torch.save(torch.zeros(1, 1).expand(2**31, 1024), tmp_path / "a.pt")
    with (tmp_path / "a.npy").open("wb") as handle:
        np.lib.format.write_array_header_1_0(
            handle, {"descr": "<f4", "fortran_order": False, "shape": (2**31, 1024)}
        )
        handle.write(b"0" * 100)
    for name in ("a.h5", "a.pt"):
        message = refusal(InputError, read_features, tmp_path / name)
        assert "8,796,093,022,208 bytes, above the limit of 8,589,934,592" in message
    assert "this .npy is damaged" in refusal(InputError, read_features, tmp_path / "a.npy")


@pytest.mark.parametrize(
    "array",
    [
        np.ones(3, np.float32),
        np.ones((0, 4), np.float32),
        np.ones((2, 3, 4), np.float32),
        np.ones((2, 2), np.int64),
        np.float32(1),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_another_shape_or_type_is_named(tmp_path: Path, array: np.ndarray[Any, Any]) -> None:
    np.save(tmp_path / "a.npy", array)
    torch.save(torch.as_tensor(array), tmp_path / "a.pt")
    save_file({"features": torch.as_tensor(array)}, tmp_path / "a.safetensors")
    with h5py.File(tmp_path / "a.h5", "w") as handle:
        handle["features"] = array
    for name in ("a.npy", "a.pt", "a.safetensors", "a.h5"):
        message = refusal(InputError, read_features, tmp_path / name)
        assert "must be floats of shape (patch, width) with one patch or more, not " in message
        assert f"{array.dtype} of shape {array.shape}" in message


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_a_feature_that_is_not_finite_is_named_with_its_patch(tmp_path: Path, value: float) -> None:
    bag = BAG.astype(np.float64)
    bag[1, 0] = value
    np.save(tmp_path / "a.npy", bag)
    assert "1 of 3 patches have a feature that is not finite, the first is patch 2" in refusal(
        InputError, read_features, tmp_path / "a.npy"
    )


@pytest.mark.parametrize("name", ["a.h5", "a.pt", "a.npy", "a.safetensors"])
def test_half_a_file_is_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    bag = np.random.default_rng(0).normal(size=(200, 50)).astype(np.float32)
    if name == "a.h5":
        with h5py.File(tmp_path / name, "w") as handle:
            handle["features"] = bag
    elif name == "a.pt":
        torch.save(torch.from_numpy(bag), tmp_path / name)
    elif name == "a.npy":
        np.save(tmp_path / name, bag)
    else:
        save_file({"features": torch.from_numpy(bag)}, tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    assert "Copy or extract it again" in refusal(InputError, read_features, tmp_path / name)


def test_files_without_features_say_what_they_hold(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as handle:
        handle["coords"] = BAG
    with h5py.File(tmp_path / "group.h5", "w") as handle:
        handle.create_group("features")
    torch.save([1, 2], tmp_path / "a.pt")
    save_file({}, tmp_path / "a.safetensors")
    (tmp_path / "a.csv").write_text("1,2\n")
    (tmp_path / "page.h5").write_text("<html>")
    for name, expected in (
        ("a.h5", "there is no dataset 'features'; it holds: coords"),
        ("group.h5", "'features' is a group, not a dataset"),
        ("a.pt", "holds a list, not a tensor"),
        ("a.safetensors", "holds no array"),
        ("a.csv", "patch features end in .h5, .pt, .npy or .safetensors, not '.csv'"),
        ("page.h5", "expected an HDF5 file, but this is an HTML page"),
    ):
        assert expected in refusal(InputError, read_features, tmp_path / name)


def test_our_own_arrays_come_back_and_damage_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_arrays(path, {"risk": BAG.T, "event": np.array([True, False])}, {"made": "here"})
    arrays = read_arrays(path)
    np.testing.assert_array_equal(arrays["risk"], BAG.T)
    assert arrays["event"].dtype == np.bool_
    path.write_bytes(path.read_bytes()[:-3])
    assert "Delete it; the next run makes it again." in refusal(IntegrityError, read_arrays, path)


# --- writing ----------------------------------------------------------------------------------


def test_what_is_interrupted_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def interrupted() -> None:
        with writing(path) as scratch:
            scratch.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failing", ["fsync", "write"])
def test_a_full_disk_stops_with_the_path_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = tmp_path / "deep" / "a.json"
    write_json(path, {"a": 1})

    def full(*_: Any) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if failing == "fsync" else (Path, "write_bytes")), full)
    message = refusal(InputError, write_json, path, {"a": 2})
    assert message == f"{path}: the disk is full. Free some space and run again: what was finished is kept."
    assert read_json(path) == {"a": 1}
    assert list(path.parent.iterdir()) == [path]


def test_a_really_full_device_is_told_the_same_way(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")

    def fill() -> None:
        with writing(tmp_path / "a") as scratch:
            scratch.unlink()
            scratch.symlink_to("/dev/full")
            scratch.write_bytes(b"x" * 100_000)

    assert "the disk is full" in refusal(InputError, fill)


def test_an_unwritable_place_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    assert "a.txt: cannot be written (a folder on the way to it is a file)" in refusal(
        InputError, write_text, tmp_path / "file" / "a.txt", "x"
    )
    (tmp_path / "folder").mkdir()
    assert "cannot be written (Is a directory)" in refusal(InputError, write_text, tmp_path / "folder", "x")
    # Tests may run as root, whom permissions do not stop.
    monkeypatch.setattr(
        os, "open", lambda *_, **__: (_ for _ in ()).throw(PermissionError(errno.EACCES, "no"))
    )
    assert "cannot be written (Permission denied). Choose another folder or mend its permissions." in refusal(
        InputError, write_text, tmp_path / "b.txt", "x"
    )


def test_another_files_fault_inside_the_block_is_not_blamed_on_ours(tmp_path: Path) -> None:
    def block() -> None:
        with writing(tmp_path / "a"):
            (tmp_path / "missing").read_bytes()

    with pytest.raises(FileNotFoundError, match="missing"):
        block()


def test_new_files_have_the_permissions_the_user_chose(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        write_text(tmp_path / "a", "x")
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


def test_nan_is_no_json_and_half_json_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        write_json(tmp_path / "a.json", {"c": float("nan")})
    assert not (tmp_path / "a.json").exists()
    (tmp_path / "b.json").write_text('{"a": ')
    assert "not whole JSON" in refusal(IntegrityError, read_json, tmp_path / "b.json")


def test_a_csv_for_spreadsheets_runs_no_formula(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"=id": ["=cmd()", "+1", "-x", "@a", "\tb", " =c", "fine", None], "risk": [-1.5] * 8}
    )
    frame["kind"] = frame["=id"].astype("category")
    write_frame(tmp_path / "a.csv", frame)
    lines = (tmp_path / "a.csv").read_bytes().decode().split("\n")
    assert lines[0] == "'=id,risk,kind"
    for line, cell in zip(
        lines[1:], ("'=cmd()", "'+1", "'-x", "'@a", "'\tb", "' =c", "fine", ""), strict=False
    ):
        assert line.split(",") == [cell, "-1.5", cell]
    assert "\r" not in "".join(lines)


def test_a_frame_comes_back_with_its_types(tmp_path: Path) -> None:
    frame = pd.DataFrame({"case": ["=a", "001"], "risk": [0.5, -1.0], "event": [True, False]})
    write_frame(tmp_path / "a.parquet", frame)
    pd.testing.assert_frame_equal(read_frame(tmp_path / "a.parquet"), frame)


def test_the_digest_is_that_of_the_standard(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"abc")
    # FIPS 180-2, appendix B.1.
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


# --- locks ------------------------------------------------------------------------------------


def holding(folder: Path) -> subprocess.Popen[bytes]:
    script = (
        "import time; from pathlib import Path; from kemm.core.files import locked\n"
        f"with locked(Path({str(folder)!r})): print('held', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def enter(folder: Path) -> None:
    with locked(folder):
        assert (folder / "lock.json").is_file()


def test_a_live_lock_is_refused_and_a_dead_ones_is_taken_over(tmp_path: Path) -> None:
    process = holding(tmp_path)
    try:
        message = refusal(PolicyError, enter, tmp_path)
        assert f"{tmp_path} is in use by process {process.pid} on " in message
        assert f"if that process is gone, delete {tmp_path / 'lock.json'}" in message
    finally:
        process.kill()
        process.communicate()
    enter(tmp_path)
    assert not (tmp_path / "lock.json").exists()


def test_a_lock_whose_number_belongs_to_another_process_now_is_stale(tmp_path: Path) -> None:
    if not Path("/proc/self/stat").exists():
        pytest.skip("this system does not tell when a process started")
    with locked(tmp_path):
        holder = json.loads((tmp_path / "lock.json").read_text())
        refusal(PolicyError, enter, tmp_path)
    (tmp_path / "lock.json").write_text(json.dumps(holder | {"started": holder["started"] - 1}))
    enter(tmp_path)


def test_a_lock_of_another_host_is_respected_and_a_torn_one_is_not(tmp_path: Path) -> None:
    (tmp_path / "lock.json").write_text(json.dumps({"pid": 1, "host": "elsewhere"}))
    assert "in use by process 1 on elsewhere" in refusal(PolicyError, enter, tmp_path)
    (tmp_path / "lock.json").write_text('{"pi')
    enter(tmp_path)


def test_a_lock_is_released_when_the_work_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with locked(tmp_path / "new"):
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    enter(tmp_path / "new")


def test_a_folder_that_cannot_be_made_cannot_be_locked(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refusal(InputError, enter, tmp_path / "file" / "run")
