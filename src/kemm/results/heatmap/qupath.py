"""Tiles as GeoJSON objects that QuPath reads: drag the file onto the open slide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from kemm.results.heatmap.tiles import SlideAttention, SlideMap, SlideRisk

Band = tuple[float, str, tuple[int, int, int]]
"""Lowest value, class and colour; the colours are those of the picture."""
BANDS: Final[tuple[Band, ...]] = (
    (0.99, "Looked at: top 1%", (253, 231, 37)),
    (0.90, "Looked at: top 10%", (94, 201, 98)),
    (0.50, "Looked at: upper half", (33, 145, 140)),
    (0.00, "Looked at: lower half", (68, 1, 84)),
)
"""By percentile."""
RISK_BANDS: Final[tuple[Band, ...]] = (
    (0.75, "Linear part: raises the risk, more", (143, 59, 0)),
    (0.50, "Linear part: raises the risk", (240, 145, 58)),
    (0.25, "Linear part: lowers the risk", (77, 143, 209)),
    (0.00, "Linear part: lowers the risk, more", (18, 63, 122)),
)
"""By the place in the colours: half is zero."""


def geojson(slide: SlideAttention | SlideRisk) -> dict[str, Any]:
    """A FeatureCollection with a polygon a tile, in pixels of the slide's full resolution.

    References:
        RFC 7946: rings are closed, and counterclockwise by their numbers. QuPath's members of a feature are
        objectType, classification and measurements.
    """
    return {
        "type": "FeatureCollection",
        # Members that the standard does not know are allowed, and readers pass over them.
        "slide": slide.slide,
        **(_about_attention(slide) if isinstance(slide, SlideAttention) else _about_risk(slide)),
        "features": (
            _attention_features(slide) if isinstance(slide, SlideAttention) else _risk_features(slide)
        ),
    }


def _about_attention(slide: SlideAttention) -> dict[str, Any]:
    note = f"{slide.remarks} {slide.CAUTION}" if slide.remarks else slide.CAUTION
    return {"of": "attention", "asked_by": slide.asked_by, "note": note}


def _about_risk(slide: SlideRisk) -> dict[str, Any]:
    return {
        "of": "risk",
        "note": f"{slide.heading} {slide.CAUTION}",
        "case_tiles": slide.case_tiles,
        "case_sum": slide.case_sum,
    }


def _attention_features(slide: SlideAttention) -> list[dict[str, Any]]:
    return [
        _feature(
            slide,
            tile,
            _band(BANDS, float(percentile)),
            {
                "Attention (times the even share)": round(float(np.float32(slide.weights[tile])), 4),
                "Attention percentile": round(100 * percentile, 2),
            },
        )
        for tile, percentile in enumerate(slide.shades.tolist())
    ]


def _risk_features(slide: SlideRisk) -> list[dict[str, Any]]:
    return [
        _feature(
            slide,
            tile,
            _band(RISK_BANDS, float(shade)),
            {
                "Adds to the log risk": float(added),
                "Log risk, were all tiles like it": float(slide.weights[tile]),
            },
        )
        for tile, (shade, added) in enumerate(zip(slide.shades, slide.adds, strict=True))
    ]


def _band(bands: Sequence[Band], value: float) -> Band:
    return next(band for band in bands if value >= band[0])


def _feature(slide: SlideMap, tile: int, band: Band, measurements: dict[str, float]) -> dict[str, Any]:
    left, top = (float(value) for value in slide.coordinates[tile])
    right, bottom = left + slide.tile_side, top + slide.tile_side
    _, name, colour = band
    return {
        "type": "Feature",
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]],
        },
        "properties": {
            "objectType": "tile",
            "name": f"tile {tile}",
            "classification": {"name": name, "color": list(colour)},
            "measurements": measurements,
        },
    }
