"""Where on a slide the model looked: as a picture, and as objects for QuPath."""

from kemm.results.heatmap.picture import draw_heatmap, small_heatmap
from kemm.results.heatmap.qupath import geojson
from kemm.results.heatmap.tiles import CAUTION, NEARLY_EVEN, SlideAttention, Thumbnail, percentiles

__all__ = [
    "CAUTION",
    "NEARLY_EVEN",
    "SlideAttention",
    "Thumbnail",
    "draw_heatmap",
    "geojson",
    "percentiles",
    "small_heatmap",
]
