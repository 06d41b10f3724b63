"""Slides: whole-slide images to tiles, tiles to patch features, patch features to bags that training reads."""

from kemm.modalities.slides.bag import UNKNOWN, SlideBag, read_bag, write_bag
from kemm.modalities.slides.config import SlidesConfig
from kemm.modalities.slides.encoders import RECORDS, EncoderRecord
from kemm.modalities.slides.packing import PackedSlide, SlideBags, open_slides, pack_slides
from kemm.modalities.slides.places import Places, read_places
from kemm.modalities.slides.sources import SlideSource, find_slides, probe_slides, read_table_cases
from kemm.modalities.slides.tile_encoder import TILE_ENCODERS, TileEncoder, TileEncoderConfig

__all__ = [
    "RECORDS",
    "TILE_ENCODERS",
    "UNKNOWN",
    "EncoderRecord",
    "PackedSlide",
    "Places",
    "SlideBag",
    "SlideBags",
    "SlideSource",
    "SlidesConfig",
    "TileEncoder",
    "TileEncoderConfig",
    "find_slides",
    "open_slides",
    "pack_slides",
    "probe_slides",
    "read_bag",
    "read_places",
    "read_table_cases",
    "write_bag",
]
