from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kemm.core.errors import InputError
from kemm.core.types import CaseId
from kemm.modalities.genomics import (
    OTHER_GENES,
    Column,
    Genomics,
    default_groups,
    read_groups,
    select_groups,
)


def genomics_of(*names: str, own_groups: dict[str, tuple[int, ...]] | None = None) -> Genomics:
    columns = tuple(Column(*name.split("__")) for name in names)
    return Genomics((CaseId("P1"),), columns, np.zeros((1, len(columns)), np.float32), own_groups or {})


MEASURED = genomics_of("TP53__mut", "MYC__rnaseq", "TP53__rnaseq", "c1orf9__rnaseq", "VHL__mut")


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_gmt_and_columns_say_the_same(tmp_path: Path) -> None:
    gmt = write(tmp_path, "a.gmt", "guard\twhat it is\tTP53\tRB1\tTP53\t\ngrowth\t\tMYC\n\n")
    table = write(tmp_path, "a.csv", "guard,growth,\nTP53,MYC,\nRB1,,\n,,\n")

    assert read_groups(gmt) == read_groups(table) == {"guard": ["TP53", "RB1"], "growth": ["MYC"]}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.gmt", "guard TP53 RB1\n", r"a\.gmt, line 1: no tab in 'guard TP53 RB1'"),
        ("a.gmt", "a\t\tTP53\na\t\tRB1\n", r"line 2: a second gene group is called 'a'"),
        ("a.gmt", "a\tdescription\n", r"line 1: the gene group 'a' lists no gene"),
        ("a.gmt", "\tdescription\tTP53\n", r"line 1: a gene group without a name"),
        ("a.gmt", "\n\n", r"a\.gmt: there is no gene group in it"),
        ("a.csv", "a,a\nTP53,RB1\n", r"a\.csv, column 2: a second gene group is called 'a'"),
        ("a.csv", "a,\nTP53,RB1\n", r"a\.csv, column 2: a gene group without a name"),
        ("a.csv", "a,b\nTP53,\n", r"column 2: the gene group 'b' lists no gene"),
        ("a.xml", "<xml/>", r"tables end in \.csv"),
    ],
)
def test_a_bad_file_of_groups_says_where_and_what(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_groups(write(tmp_path, name, text))


def test_a_group_sees_its_genes_in_all_data_types() -> None:
    selection = select_groups(
        MEASURED, {"guard": ["tp53", "RB1"], "kidney": ["VHL", "PBRM1", "SETD2"], "none": ["A"]}
    )

    assert selection.names == ["guard", "kidney"]
    guard, kidney = selection.groups
    assert (guard.columns, guard.genes_measured, guard.genes_listed) == ((0, 2), 1, 2)
    assert (kidney.columns, kidney.genes_measured, kidney.genes_listed) == ((4,), 1, 3)
    assert selection.absent == ("none",)
    assert selection.ungrouped == ("MYC", "c1orf9")


def test_other_genes_are_a_group_only_if_asked_for() -> None:
    selection = select_groups(MEASURED, {"guard": ["TP53"]}, other_genes=True)

    assert selection.names == ["guard", OTHER_GENES]
    assert selection.groups[1].columns == (1, 3, 4)
    assert select_groups(MEASURED, {"guard": ["TP53"]}).names == ["guard"]


def test_a_table_of_its_own_is_one_group_and_is_not_matched_by_gene() -> None:
    genomics = genomics_of("TP53__mut", "TP53__score", "1p__score", own_groups={"scores": (1, 2)})
    guard, scores = select_groups(genomics, {"guard": ["TP53"]}).groups

    assert guard.columns == (0,)
    assert (scores.name, scores.columns, scores.genes_measured) == ("scores", (1, 2), 2)
    with pytest.raises(InputError, match="two gene groups are called 'scores'"):
        select_groups(genomics, {"scores": ["TP53"]})


def test_no_measured_gene_at_all_shows_both_spellings() -> None:
    genomics = genomics_of("ENSG00000141510__rnaseq", "ENSG00000136997__rnaseq")

    with pytest.raises(
        InputError, match=r"none of the 1 gene groups .*list genes such as TP53; the tables have ENSG"
    ):
        select_groups(genomics, {"guard": ["TP53"]})
    assert select_groups(genomics, {"guard": ["TP53"]}, other_genes=True).names == [OTHER_GENES]


def test_the_shipped_grouping_is_well_formed() -> None:
    groups = default_groups()

    assert 25 <= len(groups) <= 45
    for name, genes in groups.items():
        assert 10 <= len(genes) <= 40, name
        assert genes == sorted(genes), name
        assert all(gene == gene.upper() and gene.isascii() and " " not in gene for gene in genes), name


def test_the_shipped_grouping_knows_what_everybody_knows() -> None:
    groups = default_groups()

    assert "ESR1" in groups["oestrogen response"]
    assert "VHL" in groups["hypoxia response"]
    assert {"TP53", "RB1", "PTEN"} <= set(groups["tumour suppressors"])
    assert {"KRAS", "MYC", "EGFR"} <= set(groups["oncogenes"])
    assert {"ARID1A", "PBRM1", "SMARCA4"} <= set(groups["chromatin remodelling"])
