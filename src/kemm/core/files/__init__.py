"""The one place that opens files: reading what may be hostile, writing what must be whole.

Never a pickle. Tables are read as text and typed by whoever knows the column. What is written is
written aside, flushed, and renamed into place, so what exists is complete.
"""

from kemm.core.files.arrays import read_arrays, read_features, read_weights, write_arrays
from kemm.core.files.hdf5 import TiledFeatures, read_coordinates, read_tiled_features
from kemm.core.files.kinds import sha256_of
from kemm.core.files.locks import locked
from kemm.core.files.output import (
    make_private,
    read_json,
    write_bytes,
    write_frame,
    write_json,
    write_text,
    writing,
)
from kemm.core.files.paths import require_file, resolve, safe_name
from kemm.core.files.tables import (
    MISSING_WORDS,
    TABLE_SUFFIXES,
    read_frame,
    read_numbers,
    read_table,
    table_columns,
)
from kemm.core.files.text import MAX_TEXT_BYTES, read_text

__all__ = [
    "MAX_TEXT_BYTES",
    "MISSING_WORDS",
    "TABLE_SUFFIXES",
    "TiledFeatures",
    "locked",
    "make_private",
    "read_arrays",
    "read_coordinates",
    "read_features",
    "read_frame",
    "read_json",
    "read_numbers",
    "read_table",
    "read_text",
    "read_tiled_features",
    "read_weights",
    "require_file",
    "resolve",
    "safe_name",
    "sha256_of",
    "table_columns",
    "write_arrays",
    "write_bytes",
    "write_frame",
    "write_json",
    "write_text",
    "writing",
]
