"""Write the table of docs/encoders.md from the encoders' records.

python scripts/encoders_page.py [--write docs/encoders.md]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kemm.modalities.slides.encoders.colour_texture import ColourTexture
from kemm.modalities.slides.encoders.records import RECORDS, EncoderRecord

START, END = "<!-- table of records -->", "<!-- end of table -->"
HEAD = """\
| `encoder.name` | encoder | architecture | dim | tile | disk | licence of the weights | access |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


def table() -> str:
    """Every encoder, one a row."""
    built_in = ColourTexture
    rows = [
        f"| `colour-texture` | Colour and texture | built in, no weights | {built_in.dim} | "
        f"{_tile(built_in.tile_side_um, built_in.tile_px)} | {_disk(built_in.dim)} | kemm's own | none needed |"
    ]
    rows += [_row(record) for record in RECORDS.values()]
    return HEAD + "\n".join(rows)


def _row(record: EncoderRecord) -> str:
    how = {
        "timm": f"timm `{record.architecture}`",
        "transformers": f"transformers `{record.architecture}`",
        "own": f"{record.architecture}; by its authors' code only, see below",
    }[record.library]
    title = record.title + (" (of whole slides)" if record.level == "slide" else "")
    access = f"[{'ask for it' if record.gated else 'open'}]({record.page})"
    disk = _disk(record.dim) if record.level == "tile" else "-"
    return (
        f"| `{record.name}` | {title} | {how} | {record.dim} | {_tile(record.tile_side_um, record.tile_px)} | "
        f"{disk} | {record.licence} | {access} |"
    )


def _tile(side_um: float, side_px: int) -> str:
    return f"{side_um:g} µm, {side_px} px"


def _disk(dim: int) -> str:
    """Of 1,000 slides of 10,000 tiles: 16 bits a number, and two whole numbers for the place."""
    return f"{(2 * dim + 8) * 10_000 * 1_000 / 1e9:.1f} GB"


def with_table(page: str) -> str:
    """The page with the table as the records say it."""
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n\n{table()}\n\n{END}{after}"


def main() -> None:
    """Print the table, or write it into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path)
    page = parser.parse_args().write
    if page is None:
        sys.stdout.write(table() + "\n")
    else:
        page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
