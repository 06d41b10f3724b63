"""Tiles as GeoJSON objects that QuPath reads: drag the file onto the open slide."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from kemm.results.heatmap.tiles import CAUTION, SlideAttention, percentiles

BANDS: Final[tuple[tuple[float, str, tuple[int, int, int]], ...]] = (
    (0.99, "Looked at: top 1%", (253, 231, 37)),
    (0.90, "Looked at: top 10%", (94, 201, 98)),
    (0.50, "Looked at: upper half", (33, 145, 140)),
    (0.00, "Looked at: lower half", (68, 1, 84)),
)
"""Lowest percentile, class and colour; the colours are those of the picture's map."""


def geojson(attention: SlideAttention) -> dict[str, Any]:
    """A FeatureCollection with a polygon a tile, in pixels of the slide's full resolution.

    References:
        RFC 7946: rings are closed, and counterclockwise by their numbers. QuPath's members of a feature are
        objectType, classification and measurements.
    """
    return {
        "type": "FeatureCollection",
        # Members that the standard does not know are allowed, and readers pass over them.
        "slide": attention.slide,
        "asked_by": attention.asked_by,
        "note": CAUTION,
        "features": [
            _feature(attention, tile, float(percentile))
            for tile, percentile in enumerate(percentiles(attention.weights))
        ],
    }


def _feature(attention: SlideAttention, tile: int, percentile: float) -> dict[str, Any]:
    left, top = (float(value) for value in attention.coordinates[tile])
    right, bottom = left + attention.tile_side, top + attention.tile_side
    name, colour = next((name, colour) for lowest, name, colour in BANDS if percentile >= lowest)
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
            "measurements": {
                "Attention (times the even share)": round(float(np.float32(attention.weights[tile])), 4),
                "Attention percentile": round(100 * percentile, 2),
            },
        },
    }
