"""Frozen tile encoders: one built in, those of the field by name, and any vision model of timm or transformers."""

from __future__ import annotations

from collections.abc import Callable

from kemm.core.errors import UsageError
from kemm.modalities.slides.encoders.colour_texture import ColourTexture
from kemm.modalities.slides.encoders.records import RECORDS, EncoderRecord
from kemm.modalities.slides.tile_encoder import TILE_ENCODERS, TileEncoder, TileEncoderConfig

__all__ = ["RECORDS", "EncoderRecord"]

PIXEL_UM = 0.5
"""Of a model that no record knows, unless its settings say a side: a pixel of a scan at 20x."""


def _maker(record: EncoderRecord) -> Callable[[TileEncoderConfig], TileEncoder]:
    def make(config: TileEncoderConfig) -> TileEncoder:
        return _by_record(record, config)

    return make


def _by_record(record: EncoderRecord, config: TileEncoderConfig) -> TileEncoder:
    if record.library == "own":
        raise UsageError(_own_code(record))
    for key in ("feature", "tile_side_um"):
        if getattr(config, key) is not None:
            raise UsageError(
                f'encoder.{key} is set, but {record.name!r} has its own. Leave it out, or use encoder.name "timm" or '
                '"transformers" with encoder.model.'
            )
    from kemm.modalities.slides.encoders.pretrained import Pretrained

    if record.library == "timm":
        from kemm.modalities.slides.encoders.by_timm import timm_by_record as load
    else:
        from kemm.modalities.slides.encoders.by_transformers import transformers_by_record as load
    return Pretrained(
        load(record, config.model),
        config,
        tile_side_um=record.tile_side_um,
        interpolation=record.interpolation,
        about=record.model_dump_json(),
    )


def _own_code(record: EncoderRecord) -> str:
    what = "tiles" if record.level == "tile" else "slides"
    instead = (
        ""
        if record.level == "tile"
        else " kemm reads tiles' features, and learns itself what of a slide answers the statements: the features that "
        f"{record.title} starts from serve better."
    )
    return (
        f"{record.title} cannot be run here: its weights work only with its authors' own program code "
        f"({record.licence}), which kemm neither ships nor runs. Make features of your {what} with their code, see "
        f"{record.page}, and bring them in with `kemm slides --import FOLDER`.{instead}"
    )


@TILE_ENCODERS.register("timm")
def _timm(config: TileEncoderConfig) -> TileEncoder:
    from kemm.modalities.slides.encoders.by_timm import timm_by_name
    from kemm.modalities.slides.encoders.pretrained import Pretrained

    network = timm_by_name(_named(config), config.feature)
    return Pretrained(network, config, tile_side_um=config.tile_side_um or PIXEL_UM * network.tile_px)


@TILE_ENCODERS.register("transformers")
def _transformers(config: TileEncoderConfig) -> TileEncoder:
    from kemm.modalities.slides.encoders.by_transformers import transformers_by_name
    from kemm.modalities.slides.encoders.pretrained import Pretrained

    network = transformers_by_name(_named(config), config.feature)
    return Pretrained(network, config, tile_side_um=config.tile_side_um or PIXEL_UM * network.tile_px)


def _named(config: TileEncoderConfig) -> str:
    if config.model is None:
        raise UsageError(
            f"encoder.name is {config.name!r}: name the model in encoder.model (a folder, or a name of the hub)."
        )
    return config.model


@TILE_ENCODERS.register("colour-texture")
def _built_in(config: TileEncoderConfig) -> TileEncoder:
    """Always the same, whatever the device."""
    return ColourTexture()


for _record in RECORDS.values():
    TILE_ENCODERS.register(_record.name)(_maker(_record))
