"""Opens a scanner's file: sizes, micrometres a pixel, and regions as RGB."""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kemm.core.errors import InputError, UsageError
from kemm.core.files import require_file
from kemm.core.files.kinds import name_other_kind

if TYPE_CHECKING:
    from PIL.Image import Image

SLIDE_SUFFIXES = (
    ".svs",
    ".tif",
    ".tiff",
    ".ndpi",
    ".mrxs",
    ".scn",
    ".bif",
    ".vms",
    ".vmu",
    ".svslide",
    ".dcm",
    ".czi",
)
"""Files of a folder that are taken for slides."""
FOREIGN = {
    ".vsi": "bioformats2raw and raw2ometiff, or QuPath's export, as OME-TIFF",
    ".isyntax": "Philips' export, or isyntax2raw and raw2ometiff, as OME-TIFF",
    ".i2syntax": "Philips' export as TIFF",
    ".qptiff": "bioformats2raw and raw2ometiff as OME-TIFF (RGB, 8 bits)",
    ".lif": "bioformats2raw and raw2ometiff as OME-TIFF",
    ".kfb": "the vendor's converter as .svs or TIFF",
    ".sdpc": "the vendor's converter as .svs or TIFF",
    ".mds": "the vendor's converter as .svs or TIFF",
    ".jp2": "`vips tiffsave in.jp2 out.tiff --tile --pyramid --compression jpeg`, with slides.mpp set",
    ".png": "`vips tiffsave in.png out.tiff --tile --pyramid --compression jpeg`, with slides.mpp set",
    ".jpg": "`vips tiffsave in.jpg out.tiff --tile --pyramid --compression jpeg`, with slides.mpp set",
    ".jpeg": "`vips tiffsave in.jpeg out.tiff --tile --pyramid --compression jpeg`, with slides.mpp set",
}
"""Formats that neither library opens, and what converts them."""
CONVERT = "bioformats2raw and raw2ometiff, or `vips tiffsave ... --tile --pyramid`, as a pyramidal TIFF"

MAX_SIDE = 2_000_000
"""Pixels. The largest scanners give some hundred thousand; more is a damaged header."""
MAX_REGION = 2**28
"""Pixels read at once: 0.8 GB."""
FINEST_MPP, COARSEST_MPP = 0.05, 20.0
"""Outside, what a file says is no scanner's resolution but a default of whatever wrote it (72 dpi is 353)."""
UNEQUAL = 0.1
"""Pixels may be so much longer than they are wide."""
SLACK = 1.02
"""A level this little coarser than asked for is taken: levels are rarely exact powers of two."""
WHITE = 255


@dataclass(frozen=True)
class Level:
    """One resolution of a slide's pyramid."""

    width: int
    height: int
    downsample: float
    """Pixels of the full resolution a pixel, along a side."""


class Slide(ABC):
    """An open whole-slide image. Places are in pixels of the full resolution."""

    path: Path
    levels: tuple[Level, ...]
    mpp: float
    """Micrometres a pixel at full resolution."""
    power: float | None
    """Of the objective, where the file says."""

    @property
    def width(self) -> int:
        """Pixels at full resolution."""
        return self.levels[0].width

    @property
    def height(self) -> int:
        """Pixels at full resolution."""
        return self.levels[0].height

    def level_for(self, downsample: float) -> int:
        """The coarsest level that is no coarser than asked for."""
        fits = [
            place for place, level in enumerate(self.levels) if level.downsample <= max(downsample, 1) * SLACK
        ]
        return max(fits, key=lambda place: self.levels[place].downsample)

    def read_tile(self, left: int, top: int, side: float, pixels: int) -> NDArray[np.uint8]:
        """A square of `side` base pixels, as (pixels, pixels, 3). What lies outside the slide is white.

        Raises:
            InputError: It cannot be decoded.
        """
        level = self.level_for(side / pixels)
        across = max(1, round(side / self.levels[level].downsample))
        return _resized(self.read_level(level, left, top, across, across), pixels, pixels)

    def read_region(self, left: int, top: int, width: int, height: int, mpp: float) -> NDArray[np.uint8]:
        """A rectangle of base pixels at `mpp` micrometres a pixel.

        Raises:
            InputError: It cannot be decoded.
        """
        factor = mpp / self.mpp
        across, down = max(1, round(width / factor)), max(1, round(height / factor))
        level = self.level_for(factor)
        downsample = self.levels[level].downsample
        wide, high = max(1, round(width / downsample)), max(1, round(height / downsample))
        # A slide without a coarse level is read in bands: at full resolution it does not fit into memory.
        rows = max(1, MAX_REGION // 8 // wide)
        if high <= rows:
            return _resized(self.read_level(level, left, top, wide, high), across, down)
        bands = []
        edges = np.linspace(0, down, math.ceil(high / rows) + 1).round().astype(int)
        for first, last in pairwise(edges):
            start, stop = round(first * high / down), round(last * high / down)
            band = self.read_level(level, left, top + round(start * downsample), wide, max(1, stop - start))
            bands.append(_resized(band, across, int(last - first)))
        return np.concatenate(bands)

    def thumbnail(self, mpp: float) -> NDArray[np.uint8]:
        """The whole slide at `mpp` micrometres a pixel."""
        return self.read_region(0, 0, self.width, self.height, mpp)

    def read_level(self, level: int, left: int, top: int, width: int, height: int) -> NDArray[np.uint8]:
        """(height, width, 3) pixels of a level, from a place in base pixels.

        Raises:
            InputError: It cannot be decoded, or is too large.
        """
        if width * height > MAX_REGION:
            raise InputError(
                f"{self.path}: {width:,} x {height:,} pixels would be read at once. "
                f"The slide has no coarse level: make a pyramid of it, with {CONVERT}."
            )
        try:
            return self._read(level, left, top, width, height)
        except InputError:
            raise
        except Exception as error:  # each codec fails in ways of its own
            raise InputError(
                f"{self.path}: the region at {left:,}, {top:,} of level {level} cannot be decoded "
                f"({_said(error)}). Copy or scan the slide again."
            ) from error

    @abstractmethod
    def _read(self, level: int, left: int, top: int, width: int, height: int) -> NDArray[np.uint8]: ...

    @abstractmethod
    def close(self) -> None:
        """Give the file back."""

    def __enter__(self) -> Slide:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_slide(path: Path, mpp: float | None = None) -> Slide:
    """Open a slide by OpenSlide, or by tifffile where that cannot. `mpp` overrules what the file says.

    Raises:
        UsageError: The libraries are not installed.
        InputError: No slide, damaged, of absurd size, or it does not say its micrometres a pixel.
    """
    require_libraries()
    require_file(path)
    if path.suffix.lower() in FOREIGN:
        raise InputError(
            f"{path}: {path.suffix} is a format that is not read. Convert it with {FOREIGN[path.suffix.lower()]}."
        )
    slide = _by_openslide(path, mpp) or _by_tifffile(path, mpp)
    try:
        _require_sane(slide)
    except InputError:
        slide.close()
        raise
    return slide


def require_libraries() -> None:
    """Raise `UsageError` where the libraries that read slides are not installed."""
    missing = [name for name in ("openslide", "tifffile") if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"slides are read with {' and '.join(missing)}, not installed here: pip install 'kemm[wsi]'"
        )


def _require_sane(slide: Slide) -> None:
    for place, level in enumerate(slide.levels):
        if not (0 < level.width <= MAX_SIDE and 0 < level.height <= MAX_SIDE):
            raise InputError(
                f"{slide.path}: level {place} is {level.width:,} x {level.height:,} pixels, which no scanner makes. "
                "The file is damaged: copy it again."
            )
        if level.width > slide.width or level.height > slide.height:
            raise InputError(
                f"{slide.path}: level {place} is {level.width:,} x {level.height:,} pixels, more than the first level's "
                f"{slide.width:,} x {slide.height:,}. The file is damaged: copy it again."
            )


def _resolution(path: Path, set_: float | None, across: object, down: object, source: str) -> float:
    """Micrometres a pixel; refused where unknown, because a guess would scale every tile wrongly."""
    if set_ is not None:
        return set_
    values = [_number(across), _number(down)]
    known = [value for value in values if value is not None and FINEST_MPP <= value <= COARSEST_MPP]
    if len(known) < 2:
        told = f" ({source} says {across}, which is no scanner's)" if across not in (None, "") else ""
        raise InputError(
            f"{path}: the file does not say how many micrometres a pixel is{told}. "
            "Set slides.mpp in study.yaml if all slides have the same (about 0.25 at 40x, 0.5 at 20x), or convert again with it."
        )
    if abs(known[0] - known[1]) > UNEQUAL * min(known):
        raise InputError(
            f"{path}: a pixel is {known[0]:g} micrometres wide and {known[1]:g} high. Set slides.mpp, or convert again."
        )
    return math.sqrt(known[0] * known[1])


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None


def _said(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _resized(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    if image.shape[:2] == (height, width):
        return image
    from PIL import Image

    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


# --- OpenSlide ---------------------------------------------------------------------------------


class _OpenSlide(Slide):
    def __init__(self, path: Path, handle: Any, mpp: float | None) -> None:
        self.path, self._handle = path, handle
        said = handle.properties
        self.levels = tuple(
            Level(width, height, float(downsample))
            for (width, height), downsample in zip(
                handle.level_dimensions, handle.level_downsamples, strict=True
            )
        )
        self.mpp = _resolution(
            path, mpp, said.get("openslide.mpp-x"), said.get("openslide.mpp-y"), said["openslide.vendor"]
        )
        self.power = _number(said.get("openslide.objective-power"))

    def _read(self, level: int, left: int, top: int, width: int, height: int) -> NDArray[np.uint8]:
        return _on_white(self._handle.read_region((left, top), level, (width, height)))

    def close(self) -> None:
        """Give the file back."""
        self._handle.close()


def _on_white(image: Image) -> NDArray[np.uint8]:
    """RGB of an RGBA image: what the scanner left out is white, as glass is."""
    if image.getchannel("A").getextrema()[0] == WHITE:
        return np.asarray(image.convert("RGB"))
    pixels = np.asarray(image)
    share = pixels[..., 3:].astype(np.float32) / WHITE
    mixed = pixels[..., :3] * share + WHITE * (1 - share)
    return mixed.round().astype(np.uint8)


def _by_openslide(path: Path, mpp: float | None) -> Slide | None:
    """The slide; None where OpenSlide does not know the format, or reads less of it than tifffile does."""
    import openslide

    try:
        handle = openslide.OpenSlide(path)
    except openslide.OpenSlideUnsupportedFormatError:
        return None
    except openslide.OpenSlideError as error:
        raise InputError(f"{path}: the slide is damaged ({_said(error)}). Copy or scan it again.") from error
    # OpenSlide takes an OME-TIFF for a plain one: it misses the levels below the first, and the resolution.
    if handle.properties.get("openslide.vendor") == "generic-tiff" and "<OME" in str(
        handle.properties.get("tiff.ImageDescription", "")
    ):
        handle.close()
        return None
    try:
        return _OpenSlide(path, handle, mpp)
    except InputError:
        handle.close()
        raise


# --- tifffile ----------------------------------------------------------------------------------

_MICROMETRES = {
    "µm": 1.0,
    "μm": 1.0,
    "um": 1.0,
    "micrometer": 1.0,
    "nm": 1e-3,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
}


class _Tiff(Slide):
    def __init__(self, path: Path, handle: Any, mpp: float | None) -> None:
        self.path, self._handle = path, handle
        series = max(handle.series, key=lambda one: math.prod(one.shape))
        self._pages = [level.keyframe for level in series.levels]
        first = self._pages[0]
        for page in self._pages:
            _require_whole(path, handle, page)
            _require_rgb(path, page)
        self.levels = tuple(
            Level(page.imagewidth, page.imagelength, first.imagewidth / max(page.imagewidth, 1))
            for page in self._pages
        )
        self._planes = [_planes(level) for level in series.levels]
        across, down = _physical(handle, first)
        self.mpp = _resolution(path, mpp, across, down, "the TIFF")
        self.power = _power(handle)
        self._kept: tuple[tuple[int, int], NDArray[np.uint8]] | None = None

    def _read(self, level: int, left: int, top: int, width: int, height: int) -> NDArray[np.uint8]:
        page, downsample = self._pages[level], self.levels[level].downsample
        x, y = round(left / downsample), round(top / downsample)
        out = np.full((height, width, 3), WHITE, dtype=np.uint8)
        right, bottom = min(x + width, page.imagewidth), min(y + height, page.imagelength)
        wide = page.tilewidth if page.is_tiled else page.imagewidth
        high = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
        a_row = math.ceil(page.imagewidth / wide)
        for row in range(max(y, 0) // high, math.ceil(bottom / high)):
            for column in range(max(x, 0) // wide, math.ceil(right / wide)):
                piece = self._piece(level, row * a_row + column)
                if piece is None:
                    continue
                x0, y0 = column * wide, row * high
                x1, y1 = max(x, x0, 0), max(y, y0, 0)
                x2 = min(right, x0 + piece.shape[1], x0 + wide)
                y2 = min(bottom, y0 + piece.shape[0], y0 + high)
                if x2 > x1 and y2 > y1:
                    out[y1 - y : y2 - y, x1 - x : x2 - x] = piece[y1 - y0 : y2 - y0, x1 - x0 : x2 - x0]
        return out

    def _piece(self, level: int, index: int) -> NDArray[np.uint8] | None:
        """A decoded tile or strip, (height, width, 3); None where the file leaves it out."""
        if self._kept is not None and self._kept[0] == (level, index):
            return self._kept[1]
        channels = [
            self._segment(page, index + shift) for page, shift in zip(*self._planes[level], strict=True)
        ]
        if any(channel is None for channel in channels):
            return None
        decoded = [channel for channel in channels if channel is not None]
        piece = decoded[0] if len(decoded) == 1 else np.concatenate(decoded, axis=2)
        self._kept = (level, index), piece[..., :3]
        return piece[..., :3]

    def _segment(self, page: Any, index: int) -> NDArray[np.uint8] | None:
        size = page.databytecounts[index]
        if size == 0:
            return None
        file = self._handle.filehandle
        file.seek(page.dataoffsets[index])
        data = file.read(size)
        if len(data) < size:
            raise ValueError("the file ends before the tile does")
        segment, _, shape = page.decode(data, index, jpegtables=page.jpegtables)
        if segment is None:
            return None
        pixels: NDArray[np.uint8] = segment.reshape(segment.shape[-3:])[: shape[1], : shape[2]]
        return pixels

    def close(self) -> None:
        """Give the file back."""
        self._handle.close()


def _planes(level: Any) -> tuple[list[Any], list[int]]:
    """Where red, green and blue are: a page and an offset among its segments, each; or one that has all."""
    page = level.keyframe
    if page.samplesperpixel >= 3 and page.planarconfig == 2:
        a_plane = len(page.dataoffsets) // page.samplesperpixel
        return [page] * 3, [0, a_plane, 2 * a_plane]
    if page.samplesperpixel == 1:
        return list(level.pages[:3]), [0, 0, 0]
    return [page], [0]


def _require_whole(path: Path, handle: Any, page: Any) -> None:
    """Refuse a copy that ends early before anything else is said of it."""
    ends = [
        offset + size for offset, size in zip(page.dataoffsets, page.databytecounts, strict=False) if size
    ]
    there = handle.filehandle.size
    if not ends or max(ends) > there:
        needs = f"{max(ends):,} bytes are promised, {there:,} are there" if ends else "it has no pixels"
        raise InputError(f"{path}: the file is cut short or damaged ({needs}). Copy it again.")


def _require_rgb(path: Path, page: Any) -> None:
    planes = page.samplesperpixel if page.samplesperpixel > 1 else len(getattr(page.parent, "pages", [page]))
    if str(page.dtype) != "uint8" or planes < 3 or page.imagedepth > 1:
        raise InputError(
            f"{path}: pixels are {page.samplesperpixel} x {page.dtype}; slides are read as RGB of 8 bits each. "
            "Convert it to 8-bit RGB."
        )
    wide = page.tilewidth if page.is_tiled else page.imagewidth
    high = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
    if wide * high > MAX_REGION:
        raise InputError(
            f"{path}: the image is stored in one piece of {wide:,} x {high:,} pixels. Make a pyramid of it, with {CONVERT}."
        )


def _physical(handle: Any, page: Any) -> tuple[object, object]:
    """Micrometres a pixel along x and y, from OME metadata, else from resolution tags with a unit."""
    if handle.is_ome and handle.ome_metadata:
        from xml.etree import ElementTree

        # OME-XML is a few kilobytes of attributes; entities, which could grow without end, are not declared in it.
        if "<!ENTITY" not in handle.ome_metadata:
            with contextlib.suppress(ElementTree.ParseError):
                for element in ElementTree.fromstring(handle.ome_metadata).iter():
                    if element.tag.endswith("}Pixels") or element.tag == "Pixels":
                        found = [_in_micrometres(element, axis) for axis in "XY"]
                        if None not in found:
                            return found[0], found[1]
    unit = {2: 25_400.0, 3: 10_000.0}.get(int(page.tags.valueof("ResolutionUnit", default=1)))
    x, y = page.tags.valueof("XResolution"), page.tags.valueof("YResolution")
    if unit is None or not x or not y or not x[0] or not y[0]:
        return None, None
    return unit * x[1] / x[0], unit * y[1] / y[0]


def _in_micrometres(element: Any, axis: str) -> float | None:
    size = _number(element.get(f"PhysicalSize{axis}"))
    unit = _MICROMETRES.get(element.get(f"PhysicalSize{axis}Unit", "µm"))
    return None if size is None or unit is None else size * unit


def _power(handle: Any) -> float | None:
    import re

    found = (
        re.search(r'NominalMagnification="([\d.]+)"', handle.ome_metadata or "") if handle.is_ome else None
    )
    return _number(found[1]) if found else None


def _by_tifffile(path: Path, mpp: float | None) -> Slide:
    import tifffile

    with _quiet():
        try:
            handle = tifffile.TiffFile(path)
        except Exception as error:
            what = name_other_kind(path)
            known = f"this is {what[0]}; {what[1]}" if what else f"convert it with {CONVERT}"
            raise InputError(
                f"{path}: no slide that OpenSlide or tifffile can open ({_said(error)}). To mend it: {known}."
            ) from error
        try:
            return _Tiff(path, handle, mpp)
        except InputError:
            handle.close()
            raise
        except Exception as error:
            handle.close()
            raise InputError(
                f"{path}: this TIFF is damaged ({_said(error)}). Copy it again, or convert it with {CONVERT}."
            ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What tifffile logs of a damaged file is in the error that follows."""
    import logging

    logger = logging.getLogger("tifffile")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before
