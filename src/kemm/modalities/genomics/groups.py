"""Gene groups: which columns each encoder sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path

from kemm.core.errors import InputError
from kemm.core.files import MISSING_WORDS, read_table, read_text
from kemm.modalities.genomics.reading import Genomics

OTHER_GENES = "other measured genes"


@dataclass(frozen=True, kw_only=True)
class GeneGroup:
    """A named group and what of it was measured."""

    name: str
    columns: tuple[int, ...]
    """Its columns of `Genomics`, of all data types, ascending."""
    genes_measured: int
    genes_listed: int


@dataclass(frozen=True)
class GroupSelection:
    """The groups that have a measured gene, in the order they were given."""

    groups: tuple[GeneGroup, ...]
    absent: tuple[str, ...]
    """Groups none of whose genes was measured."""
    ungrouped: tuple[str, ...]
    """Measured genes that no group of the file lists, sorted."""

    @cached_property
    def names(self) -> list[str]:
        """Names of the groups there are."""
        return [group.name for group in self.groups]


def default_groups() -> dict[str, list[str]]:
    """The grouping that comes with kemm: functional sets of well-known cancer genes."""
    text = (resources.files("kemm.modalities.genomics") / "default_groups.gmt").read_text(encoding="utf-8")
    return _parse_gmt(text, "default_groups.gmt")


def read_groups(path: Path) -> dict[str, list[str]]:
    """Gene groups by name, each with its genes once, in the order of the file.

    A file that ends in .gmt has a line a group: name, description, genes, with tabs between. Any
    other table has a column a group: the name on top, genes below, blanks at the end.

    Raises:
        InputError: Neither; a group without name or genes; two groups of one name.
    """
    if path.suffix.lower() == ".gmt":
        groups = _parse_gmt(read_text(path, expected="gene groups as GMT"), str(path))
    else:
        groups = _read_columns(path)
    if not groups:
        raise InputError(
            f"{path}: there is no gene group in it. Give a line (GMT) or a column (table) a group."
        )
    return groups


def _parse_gmt(text: str, source: str) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        name, *rest = (cell.strip() for cell in line.split("\t"))
        if not rest:
            raise InputError(
                f"{source}, line {number}: no tab in {line[:60]!r}. "
                "A line of a GMT file is name, description and genes, with tabs between."
            )
        _add(groups, name, rest[1:], f"{source}, line {number}")
    return groups


def _read_columns(path: Path) -> dict[str, list[str]]:
    frame = read_table(path)
    groups: dict[str, list[str]] = {}
    for place, name in enumerate(frame.columns):
        genes = frame.iloc[:, place].tolist()
        if name or any(gene.strip() for gene in genes):
            _add(groups, name, genes, f"{path}, column {place + 1}")
    return groups


def _add(groups: dict[str, list[str]], name: str, cells: Sequence[str], place: str) -> None:
    genes = list(dict.fromkeys(gene for cell in cells if (gene := cell.strip()) not in MISSING_WORDS))
    if not name:
        raise InputError(f"{place}: a gene group without a name. Give it one.")
    if name in groups:
        raise InputError(f"{place}: a second gene group is called {name!r}. Rename or merge them.")
    if not genes:
        raise InputError(f"{place}: the gene group {name!r} lists no gene. Fill it or take it out.")
    groups[name] = genes


def select_groups(
    genomics: Genomics, groups: Mapping[str, Iterable[str]], *, other_genes: bool = False
) -> GroupSelection:
    """The measured columns of each group, over all data types.

    Genes match whatever the case of their letters. A gene may be in several groups. Tables that
    form a group of their own come last and are not matched by gene. With `other_genes`, what no
    group lists is one more group.

    Raises:
        InputError: No group has a measured gene; a table's own group is called like another.
    """
    own = {place for members in genomics.own_groups.values() for place in members}
    columns_of: dict[str, list[int]] = {}
    for place, column in enumerate(genomics.columns):
        if place not in own:
            columns_of.setdefault(column.gene.upper(), []).append(place)

    chosen: list[GeneGroup] = []
    absent: list[str] = []
    listed_anywhere: set[str] = set()
    for name, genes in groups.items():
        listed = {gene.upper() for gene in genes}
        measured = listed & columns_of.keys()
        listed_anywhere |= measured
        if measured:
            chosen.append(_group(name, [columns_of[gene] for gene in measured], len(listed)))
        else:
            absent.append(name)

    rest = sorted(columns_of.keys() - listed_anywhere)
    if columns_of and not chosen and not other_genes:
        raise InputError(
            f"none of the {len(groups)} gene groups has a measured gene. They list genes such as "
            f"{', '.join(sorted({gene for genes in groups.values() for gene in genes})[:3])}; the tables have "
            f"{', '.join(rest[:3])}. Name genes in both by the same symbols (HGNC, such as TP53), "
            "or set `genomics.groups` to a file that lists them."
        )
    if other_genes and rest:
        chosen.append(_group(OTHER_GENES, [columns_of[gene] for gene in rest], len(rest)))
    for name, members in genomics.own_groups.items():
        genes_in_table = len({genomics.columns[place].gene for place in members})
        chosen.append(_group(name, [members], genes_in_table, genes_in_table))
    twice = [
        name for name, count in Counter([*(group.name for group in chosen), *absent]).items() if count > 1
    ]
    if twice:
        raise InputError(
            f"two gene groups are called {twice[0]!r}, one of them the `group:` of a table. Rename that one."
        )
    ungrouped = {genomics.columns[place].gene for gene in rest for place in columns_of[gene]}
    return GroupSelection(tuple(chosen), tuple(absent), tuple(sorted(ungrouped)))


def _group(
    name: str, members: Sequence[Sequence[int]], listed: int, measured: int | None = None
) -> GeneGroup:
    return GeneGroup(
        name=name,
        columns=tuple(sorted(place for places in members for place in places)),
        genes_measured=len(members) if measured is None else measured,
        genes_listed=listed,
    )
