"""What patch features may look like, and how large they may be, before any of them is read."""

from __future__ import annotations

from pathlib import Path

from kemm.core.errors import InputError

MAX_FEATURE_BYTES = 8 * 2**30
"""Of one slide, as float32: 1.4 million patches of 1,536 features."""
PLAIN = "Save them as a plain float array (patch, width): .h5, .npy or .safetensors."
_SHAPE = "patch features must be floats of shape (patch, width) with one patch or more"


def require_patch_shape(path: Path, shape: tuple[int, ...], dtype: object, *, floats: bool) -> None:
    """Raise `InputError` before anything of the wrong kind, or too large, is read."""
    flat = shape[1:] if len(shape) == 3 and shape[0] == 1 else shape
    if not floats or len(flat) != 2 or 0 in flat:
        raise InputError(f"{path}: {_SHAPE}, not {dtype} of shape {shape}. Extract this slide again.")
    size = 4 * flat[0] * flat[1]
    if size > MAX_FEATURE_BYTES:
        raise InputError(
            f"{path}: declares features of shape {shape}, {size:,} bytes, above the limit of {MAX_FEATURE_BYTES:,}."
        )
