"""What a study says of its slides."""

from __future__ import annotations

from pydantic import Field

from kemm.core.settings import Section
from kemm.modalities.slides.tile_encoder import TileEncoderConfig
from kemm.modalities.slides.tiles import TilesConfig
from kemm.modalities.slides.tissue import TissueConfig


class SlidesConfig(Section):
    """Whole-slide images, or features of them that another tool made."""

    images: str | None = None
    """Folder with the scanner's files, also in folders below it; `kemm slides` makes patch features of them."""
    features: str = "features"
    """Folder of the study that `kemm slides` writes a file of patch features a slide into."""
    mpp: float | None = Field(None, gt=0.05, lt=20)
    """Micrometres a pixel at full resolution, of all slides; by default what each file says."""
    tile_side_um: float | None = Field(None, gt=1, le=10_000)
    """Side of a tile on the tissue in micrometres; by default what the encoder was trained for."""
    tissue: TissueConfig = Field(default_factory=TissueConfig)
    tiles: TilesConfig = Field(default_factory=TilesConfig)
    encoder: TileEncoderConfig = Field(default_factory=TileEncoderConfig)

    folder: str | None = None
    """Folder with one file of patch features a slide (.h5, .pt, .npy, .safetensors), named by its slide; by default
    what `kemm slides` wrote."""
    slide_ids: str | None = None
    """Column of the clinical table with the slides of a case, separated by ";". By default a file belongs
    to the case whose id starts its name."""
    table: str | None = None
    """Or a table of slide-level features: one row a slide, numbers in all columns but the id's."""
    case: str = "case_id"
    """The id column of that table."""

    @property
    def bags(self) -> str | None:
        """The folder whose files of patch features are used."""
        return self.folder if self.folder is not None or self.images is None else self.features
