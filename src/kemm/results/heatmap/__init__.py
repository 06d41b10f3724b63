"""Where on a slide the model looked, or what it made of each tile: as a picture, and as objects for QuPath."""

from kemm.results.heatmap.picture import draw_heatmap, small_heatmap
from kemm.results.heatmap.qupath import geojson
from kemm.results.heatmap.tiles import (
    CAUTION,
    NEARLY_EVEN,
    RISK_CAUTION,
    SlideAttention,
    SlideMap,
    SlideRisk,
    Thumbnail,
    limit_of,
    no_weight,
    percentiles,
    some_weight,
)

__all__ = [
    "CAUTION",
    "NEARLY_EVEN",
    "RISK_CAUTION",
    "SlideAttention",
    "SlideMap",
    "SlideRisk",
    "Thumbnail",
    "draw_heatmap",
    "geojson",
    "limit_of",
    "no_weight",
    "percentiles",
    "small_heatmap",
    "some_weight",
]
