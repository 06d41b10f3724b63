from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kemm.core.errors import Faults, InputError, PolicyError
from kemm.core.types import CaseId
from kemm.modalities.genomics import (
    Column,
    Genomics,
    GenomicsConfig,
    default_groups,
    fit_group_features,
    read_genomics,
    select_groups,
)

CASES = [CaseId(case) for case in ("P1", "P2", "P3", "P4")]
TWO_TYPES = "case_id,TP53__mut,TP53__rnaseq,MYC__rnaseq\nP2,0,1.5,-3\nP1,1,,0.25\nelsewhere,1,9,9\n"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "genomics.csv") -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


def read(folder: Path, *tables: dict[str, object], **settings: object) -> tuple[Genomics | None, Faults]:
    faults = Faults()
    config = GenomicsConfig.model_validate({"tables": list(tables), **settings})
    return read_genomics(config, lambda path: folder / path, CASES, faults), faults


def only_fault(faults: Faults) -> str:
    (fault,) = faults.found
    return str(fault)


def test_a_hand_written_table_is_read_in_the_order_of_the_cohort(write: Write) -> None:
    genomics, faults = read(write(TWO_TYPES).parent, {"path": "genomics.csv"})

    assert faults.found == []
    assert genomics is not None
    assert genomics.case_ids == ("P1", "P2")  # P3 and P4 have no genomics: they are just not there
    assert genomics.columns == (Column("TP53", "mut"), Column("TP53", "rnaseq"), Column("MYC", "rnaseq"))
    assert genomics.data_types == ("mut", "rnaseq")
    assert genomics.values.dtype == np.float32
    np.testing.assert_array_equal(genomics.values, [[1, np.nan, 0.25], [0, 1.5, -3]])


def test_genes_in_rows_give_the_same_as_cases_in_rows(write: Write) -> None:
    write(TWO_TYPES)
    folder = write(
        "\n".join(("Symbol,P2,P1", "TP53__mut,0,1", "TP53__rnaseq,1.5,", "MYC__rnaseq,-3,0.25")), "t.csv"
    )
    genomics, _ = read(folder.parent, {"path": "genomics.csv"})
    turned, faults = read(folder.parent, {"path": "t.csv", "rows": "genes"})

    assert faults.found == []
    assert genomics is not None
    assert turned is not None
    assert turned.fingerprint == genomics.fingerprint


def test_parquet_gives_the_same_as_text(write: Write, tmp_path: Path) -> None:
    frame = pd.read_csv(write(TWO_TYPES), dtype={"TP53__mut": "Int8", "MYC__rnaseq": "float32"})
    frame.to_parquet(tmp_path / "genomics.parquet")
    from_text, _ = read(tmp_path, {"path": "genomics.csv"})
    from_parquet, faults = read(tmp_path, {"path": "genomics.parquet"})

    assert faults.found == []
    assert from_text is not None
    assert from_parquet is not None
    assert from_parquet.fingerprint == from_text.fingerprint


def test_tables_of_different_cases_stand_side_by_side(write: Write, tmp_path: Path) -> None:
    write(TWO_TYPES)
    write("case_id,1p,1q\nP4,1,0\nP1,-1,\n", "arms.csv")
    genomics, faults = read(
        tmp_path, {"path": "genomics.csv"}, {"path": "arms.csv", "group": "arms", "data_type": "arm"}
    )

    assert faults.found == []
    assert genomics is not None
    assert genomics.case_ids == ("P1", "P2", "P4")
    assert genomics.own_groups == {"arms": (3, 4)}
    assert genomics.columns[3:] == (Column("1p", "arm"), Column("1q", "arm"))
    nan = np.nan
    np.testing.assert_array_equal(
        genomics.values, [[1, nan, 0.25, -1, nan], [0, 1.5, -3, nan, nan], [nan, nan, nan, 1, 0]]
    )


def test_values_of_cases_without_genomics_are_missing(write: Write) -> None:
    genomics, _ = read(write(TWO_TYPES).parent, {"path": "genomics.csv"})

    assert genomics is not None
    rows = genomics.values_of([CaseId("P3"), CaseId("P2")])
    assert np.isnan(rows[0]).all()
    np.testing.assert_array_equal(rows[1], [0, 1.5, -3])


def test_columns_of_a_fitted_model_are_found_by_name_whatever_their_order(write: Write) -> None:
    genomics, _ = read(write(TWO_TYPES).parent, {"path": "genomics.csv"})

    assert genomics is not None
    aligned = genomics.aligned_to([Column("MYC", "rnaseq"), Column("KRAS", "mut"), Column("TP53", "mut")])
    np.testing.assert_array_equal(aligned.values, [[0.25, np.nan, 1], [-3, np.nan, 0]])
    with pytest.raises(InputError, match=r"none of the 1 genomic columns .*\(KRAS mut\).* has TP53 mut"):
        genomics.aligned_to([Column("KRAS", "mut")])


def test_a_table_without_suffixes_has_one_data_type(write: Write) -> None:
    folder = write("case_id,TP53,HLA__A\nP1,1,2\n").parent
    named, _ = read(folder, {"path": "genomics.csv", "data_type": "rnaseq"})
    plain, _ = read(write("case_id,TP53\nP1,1\n", "plain.csv").parent, {"path": "plain.csv"})

    assert named is not None
    assert named.columns == (Column("TP53", "rnaseq"), Column("HLA__A", "rnaseq"))
    assert plain is not None
    assert plain.columns == (Column("TP53", "value"),)


def test_a_case_without_any_number_has_no_genomics(write: Write) -> None:
    genomics, faults = read(write("case_id,A__mut\nP1,NA\nP2,1\n").parent, {"path": "genomics.csv"})

    assert faults.found == []
    assert genomics is not None
    assert genomics.case_ids == ("P2",)


# --- faults -----------------------------------------------------------------------------------


def test_no_common_case_shows_ids_of_both_sides(write: Write) -> None:
    genomics, faults = read(write("case_id,A__mut\nX7,1\nX8,0\n").parent, {"path": "genomics.csv"})

    assert genomics is None
    message = only_fault(faults)
    assert "none of its 2 cases (X7, X8) is in the cohort (P1, P2, P3, P4)" in message
    assert "Check `case: case_id` in study.yaml" in message


@pytest.mark.parametrize("sample", ["P1-01A", "P1-01A-11R", "p1.01"])
def test_sample_barcodes_are_recognised_and_never_cut(write: Write, sample: str) -> None:
    genomics, faults = read(write(f"case_id,A__mut\n{sample},1\n").parent, {"path": "genomics.csv"})

    assert genomics is None
    message = only_fault(faults)
    assert f"'{sample}' looks like a sample of case 'P1'" in message
    assert "give it the id of the case; ids are never cut by kemm" in message


def test_ids_spelt_otherwise_are_recognised(tmp_path: Path, write: Write) -> None:
    write("case_id,A__mut\nTCGA.AB.1234,1\n")
    faults = Faults()
    config = GenomicsConfig.model_validate({"tables": [{"path": "genomics.csv"}]})
    read_genomics(config, lambda path: tmp_path / path, [CaseId("TCGA-AB-1234")], faults)

    assert "'TCGA.AB.1234' looks like case 'TCGA-AB-1234', spelt otherwise" in only_fault(faults)


def test_some_cases_under_sample_barcodes_are_a_doubt(write: Write) -> None:
    genomics, faults = read(
        write("case_id,A__mut\nP1,1\nP2-01A,0\nP1-02B,1\n").parent, {"path": "genomics.csv"}
    )

    assert genomics is not None
    assert faults.errors == []
    assert "1 case of the cohort found only under longer" in only_fault(faults)
    assert "'P2-01A' for case 'P2'" in only_fault(faults)


@pytest.mark.parametrize("header", ["Hugo", "case_id"])
def test_genes_in_rows_not_declared_are_recognised(write: Write, header: str) -> None:
    genomics, faults = read(write(f"{header},P1,P2\nTP53,1,2\n").parent, {"path": "genomics.csv"})

    assert genomics is None
    assert "`rows: genes`" in only_fault(faults)


def test_cases_in_rows_declared_as_genes_are_recognised(write: Write) -> None:
    _, faults = read(write(TWO_TYPES).parent, {"path": "genomics.csv", "rows": "genes"})

    assert "write `rows: cases` in study.yaml" in only_fault(faults)


def test_a_missing_case_column_names_the_nearest(write: Write) -> None:
    _, faults = read(write(TWO_TYPES).parent, {"path": "genomics.csv", "case": "caseid"})

    assert "there is no column 'caseid'; did you mean 'case_id'?" in only_fault(faults)


def test_duplicate_genes_and_cases_are_told_together(write: Write) -> None:
    text = "case_id,A__mut,A__mut,B__mut,B__mut,B__mut\nP1,1,1,1,1,1\nP1,1,1,1,1,1\nP2,0,0,0,0,0\n"
    _, faults = read(write(text).parent, {"path": "genomics.csv"})

    cases, genes = (str(fault) for fault in faults.errors)
    assert "1 case in more than one row: P1. Keep one sample a case" in cases
    assert "2 genes in more than one column: A__mut (2 times), B__mut (3 times)" in genes


def test_cells_that_are_no_numbers_are_told_together_and_other_tables_are_still_checked(
    write: Write, tmp_path: Path
) -> None:
    write("case_id,A__mut,B__mut\nP1,1,inf\nP2,high,1e300\n")
    genomics, faults = read(tmp_path, {"path": "genomics.csv"}, {"path": "absent.csv"})

    assert genomics is None
    *cells, absent = (str(fault) for fault in faults.errors)
    assert "row 2, column 'A__mut', case P2: 'high' is not a finite number" in cells[0]
    assert "row 1, column 'B__mut', case P1: 'inf' is not a finite number" in cells[1]
    assert "row 2, column 'B__mut', case P2" in cells[2]
    assert "absent.csv: there is no such file" in absent


def test_with_genes_in_rows_a_cell_that_is_no_number_names_the_case_above_it(write: Write) -> None:
    _, faults = read(
        write("Symbol,P1,P2\nTP53,1,2\nMYC,1,high\n").parent, {"path": "genomics.csv", "rows": "genes"}
    )

    assert "row 2, column 'P2', case P2: 'high' is not a finite number" in only_fault(faults)


def test_a_column_without_a_type_beside_typed_ones_is_named(write: Write) -> None:
    _, faults = read(write("case_id,A__mut,purity,__x,y__\nP1,1,0.5,1,1\n").parent, {"path": "genomics.csv"})

    assert "3 columns without a data type beside others that have one: purity, __x, y__" in only_fault(faults)


def test_the_same_column_in_two_tables_is_named(write: Write, tmp_path: Path) -> None:
    write("case_id,TP53,MYC\nP1,1,2\n", "one.csv")
    write("case_id,TP53\nP1,1\n", "two.csv")
    _, faults = read(tmp_path, {"path": "one.csv"}, {"path": "two.csv"})

    assert "two.csv: 1 column also in one.csv: TP53 value" in only_fault(faults)
    assert "tell them apart with `data_type:`" in only_fault(faults)


def test_a_row_without_a_gene_is_left_out_and_said(write: Write) -> None:
    genomics, faults = read(
        write("Symbol,P1\nTP53,1\n,2\n,3\n").parent,
        {"path": "genomics.csv", "rows": "genes", "data_type": "cnv"},
    )

    assert genomics is not None
    assert genomics.columns == (Column("TP53", "cnv"),)
    assert faults.errors == []
    assert "2 rows without the name of a gene" in only_fault(faults)


def test_a_transform_of_a_type_nobody_has_is_a_doubt(write: Write) -> None:
    genomics, faults = read(write(TWO_TYPES).parent, {"path": "genomics.csv"}, transforms={"rnasq": "rank"})

    assert genomics is not None
    assert faults.errors == []
    assert "'rnasq', which no table has; did you mean 'rnaseq'?" in only_fault(faults)


def test_a_table_without_numbers_is_a_fault(write: Write) -> None:
    genomics, faults = read(write("case_id,A__mut\nP1,\n").parent, {"path": "genomics.csv"})

    assert genomics is None
    assert "the table holds no number for any case of the cohort" in only_fault(faults)


def test_a_refused_path_stops_at_once() -> None:
    def refuse(path: str) -> Path:
        raise PolicyError(f"{path} points outside")

    config = GenomicsConfig.model_validate({"tables": [{"path": "../secret.csv"}]})
    with pytest.raises(PolicyError, match="points outside"):
        read_genomics(config, refuse, CASES, Faults())


def test_few_genes_many_mutations_and_a_type_missing_altogether_work(tmp_path: Path) -> None:
    # Seven expression genes, 3,000 mutation columns of which most are rare, and no copy number.
    rng = np.random.default_rng(0)
    groups = default_groups()
    genes = sorted({gene for members in groups.values() for gene in members})
    frame = pd.DataFrame({"case_id": [f"P{place}" for place in range(80)]})
    expression = {f"{gene}__rnaseq": np.exp(rng.normal(size=80)).astype(np.float32) for gene in genes[:7]}
    chances = rng.beta(1, 30, 3000)
    names = [*genes, *(f"LOC{place}" for place in range(3000 - len(genes)))]
    mutated = {f"{name}__mut": rng.random(80) < chance for name, chance in zip(names, chances, strict=True)}
    wide = pd.concat([frame, pd.DataFrame(expression), pd.DataFrame(mutated).astype("Int8")], axis=1)
    wide.to_parquet(tmp_path / "g.parquet")
    faults = Faults()
    config = GenomicsConfig.model_validate({"tables": [{"path": "g.parquet"}], "transforms": {"cnv": "none"}})
    genomics = read_genomics(
        config, lambda path: tmp_path / path, frame["case_id"].map(CaseId).tolist(), faults
    )

    assert faults.errors == []
    assert "'cnv', which no table has" in only_fault(faults)
    assert genomics is not None
    selection = select_groups(genomics, groups)
    features = fit_group_features(genomics.values[:60], genomics, selection, config)
    packed, present = features.transform(genomics.values[60:])
    assert features.scaling.chosen == {"mut": "none", "rnaseq": "rank"}
    assert packed.shape == (20, len(groups), 8)
    assert present.all()
    # One of 60 training cases is 1.7 %: kept columns are mutated in two or more.
    mutations = [
        place
        for place, kind in zip(features.scaling.kept, features.scaling.kinds, strict=True)
        if kind == "none"
    ]
    assert (genomics.values[:60][:, features.used[mutations]].sum(axis=0) >= 2).all()
