"""Pretrained encoders: their vectors are those of the library called by hand, whatever the batches."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_encoders import TIMM_ARCHITECTURE, TIMM_ARGUMENTS, TIMM_LAYERS, normalised, tiles_of
from torch import nn

from kemm.core.errors import InputError, IntegrityError, UsageError
from kemm.modalities.slides import TILE_ENCODERS, TileEncoder, TileEncoderConfig
from kemm.modalities.slides.encoders.by_timm import timm_by_record
from kemm.modalities.slides.encoders.by_transformers import transformers_by_record
from kemm.modalities.slides.encoders.network import Network
from kemm.modalities.slides.encoders.pretrained import Pretrained
from kemm.modalities.slides.encoders.records import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    RECORDS,
    EncoderRecord,
)

HALF_ROUNDING = 2e-3


def encoder(name: str, folder: Path, **settings: Any) -> TileEncoder:
    config = TileEncoderConfig(name=name, model=str(folder), device="cpu", **settings)
    return TILE_ENCODERS[name](config)


def assert_close(ours: np.ndarray, theirs: torch.Tensor) -> None:
    assert ours.dtype == np.float16
    np.testing.assert_allclose(ours, theirs.numpy(), atol=HALF_ROUNDING, rtol=HALF_ROUNDING)


# --- the same vectors as the library's -------------------------------------------------------


def test_a_vit_of_transformers_gives_its_class_token(vit_folder: Path) -> None:
    from transformers import ViTModel

    ours = encoder("transformers", vit_folder)
    assert isinstance(ours, TileEncoder)
    assert (ours.dim, ours.tile_px, ours.tile_side_um) == (32, 28, 14.0)
    tiles = tiles_of(28)
    with torch.no_grad():
        theirs = ViTModel.from_pretrained(vit_folder).eval()(
            pixel_values=normalised(tiles, IMAGENET_MEAN, IMAGENET_STD)
        )
    assert_close(ours.encode(tiles), theirs.last_hidden_state[:, 0])
    assert_close(encoder("transformers", vit_folder, feature="pooled").encode(tiles), theirs.pooler_output)


def test_a_dinov2_with_registers_has_the_transform_of_its_folder(dinov2_folder: Path) -> None:
    from transformers import Dinov2WithRegistersModel

    tiles = tiles_of(28)
    with torch.no_grad():
        theirs = (
            Dinov2WithRegistersModel.from_pretrained(dinov2_folder)
            .eval()(pixel_values=normalised(tiles, (0.7, 0.6, 0.7), (0.2, 0.25, 0.2)))
            .last_hidden_state
        )
    # One class token, four registers, four patches.
    assert theirs.shape == (5, 9, 32)
    patches = theirs[:, 5:].mean(dim=1)
    for feature, expected in (
        ("class", theirs[:, 0]),
        ("mean", patches),
        ("class+mean", torch.cat([theirs[:, 0], patches], dim=1)),
    ):
        assert_close(encoder("transformers", dinov2_folder, feature=feature).encode(tiles), expected)


def hibou(**changes: Any) -> EncoderRecord:
    return RECORDS["hibou-b"].model_copy(update={"dim": 32, "tile_px": 28, **changes})


def test_a_record_loads_registers_though_the_config_says_dinov2(dinov2_folder: Path, tmp_path: Path) -> None:
    """As Hibou's does, which brings code of its own for them; by the config alone they would be left out."""
    from transformers import Dinov2WithRegistersModel

    shutil.copytree(dinov2_folder, tmp_path / "hibou")
    about = json.loads((dinov2_folder / "config.json").read_text())
    about |= {"model_type": "dinov2", "auto_map": {"AutoModel": "modeling_dinov2.Dinov2ModelWithRegisters"}}
    (tmp_path / "hibou" / "config.json").write_text(json.dumps(about))
    record = hibou()
    ours = Pretrained(
        transformers_by_record(record, str(tmp_path / "hibou")),
        TileEncoderConfig(device="cpu"),
        tile_side_um=1.0,
    )
    tiles = tiles_of(28)
    with torch.no_grad():
        theirs = Dinov2WithRegistersModel.from_pretrained(dinov2_folder).eval()(
            pixel_values=normalised(tiles, record.mean, record.std)
        )
    assert_close(ours.encode(tiles), theirs.pooler_output)


def test_a_vit_of_timm_with_registers_gives_class_and_mean_as_virchow2(timm: Any, timm_folder: Path) -> None:
    record = RECORDS["virchow2"].model_copy(
        update={
            "architecture": TIMM_ARCHITECTURE,
            "arguments": TIMM_ARGUMENTS | TIMM_LAYERS,
            "dim": 96,
            "tile_px": 28,
        }
    )
    ours = Pretrained(
        timm_by_record(record, str(timm_folder)), TileEncoderConfig(device="cpu"), tile_side_um=112.0
    )
    tiles = tiles_of(28)
    with torch.no_grad():
        tokens = by_hand(timm, timm_folder).forward_features(normalised(tiles, record.mean, record.std))
    # Their model card: the class token and the mean of the tokens from the sixth on.
    assert tokens.shape == (5, 9, 48)
    assert_close(ours.encode(tiles), torch.cat([tokens[:, 0], tokens[:, 5:].mean(1)], dim=-1))


def by_hand(timm: Any, folder: Path) -> Any:
    from safetensors.torch import load_file

    model = timm.create_model(
        TIMM_ARCHITECTURE,
        num_classes=0,
        **(TIMM_ARGUMENTS | {"mlp_layer": timm.layers.SwiGLUPacked, "act_layer": torch.nn.SiLU}),
    )
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.eval()


def test_a_folder_of_timm_gives_what_timm_itself_gives(timm: Any, timm_folder: Path) -> None:
    ours, tiles = encoder("timm", timm_folder), tiles_of(28)
    assert (ours.dim, ours.tile_px) == (48, 28)
    about = json.loads((timm_folder / "config.json").read_text())["pretrained_cfg"]
    with torch.no_grad():
        theirs = by_hand(timm, timm_folder)(normalised(tiles, about["mean"], about["std"]))
    assert_close(ours.encode(tiles), theirs)


@pytest.mark.parametrize(("name", "dim"), [("resnet50", 2048), ("resnet50-layer3", 1024)])
def test_a_resnet_pools_its_last_or_its_third_stage(timm: Any, tmp_path: Path, name: str, dim: int) -> None:
    torch.manual_seed(3)
    model = timm.create_model("resnet50", num_classes=1000).eval()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    record = RECORDS[name].model_copy(update={"tile_px": 64})
    ours = Pretrained(
        timm_by_record(record, str(tmp_path)), TileEncoderConfig(device="cpu"), tile_side_um=112.0
    )
    ours._tile_px = 64
    tiles = tiles_of(64, count=2)
    images = normalised(tiles, IMAGENET_MEAN, IMAGENET_STD)
    with torch.no_grad():
        stages = model.maxpool(model.act1(model.bn1(model.conv1(images))))
        for stage in ("layer1", "layer2", "layer3", "layer4")[: 4 if dim == 2048 else 3]:
            stages = getattr(model, stage)(stages)
    assert ours.dim == dim
    assert_close(ours.encode(tiles), stages.mean(dim=(2, 3)))


# --- running ---------------------------------------------------------------------------------


def test_batches_and_order_change_nothing(vit_folder: Path) -> None:
    tiles = tiles_of(28, count=7)
    whole = encoder("transformers", vit_folder).encode(tiles)
    np.testing.assert_allclose(
        encoder("transformers", vit_folder, batch=2).encode(tiles), whole, atol=HALF_ROUNDING
    )
    order = np.array([3, 0, 6, 1, 5, 2, 4])
    np.testing.assert_allclose(
        encoder("transformers", vit_folder).encode(tiles[order]), whole[order], atol=HALF_ROUNDING
    )
    assert np.abs(whole[0] - whole[1]).max() > 10 * HALF_ROUNDING


def test_tiles_that_are_a_view_with_gaps_or_read_only_are_taken(vit_folder: Path) -> None:
    ours, tiles = encoder("transformers", vit_folder), tiles_of(28, count=6)
    tiles.flags.writeable = False
    np.testing.assert_array_equal(ours.encode(tiles[::2]), ours.encode(tiles[::2].copy()))


def test_no_tiles_have_no_vectors(vit_folder: Path) -> None:
    assert encoder("transformers", vit_folder).encode(tiles_of(28, count=0)).shape == (0, 32)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_fewer_bits_give_nearly_the_same_vectors_and_another_identity(
    vit_folder: Path, precision: str
) -> None:
    tiles = tiles_of(28)
    full, half = encoder("transformers", vit_folder), encoder("transformers", vit_folder, precision=precision)
    assert half.identity != full.identity
    np.testing.assert_allclose(half.encode(tiles), full.encode(tiles), atol=0.1)


def test_the_identity_is_that_of_weights_and_transform(vit_folder: Path, tmp_path: Path) -> None:
    ours = encoder("transformers", vit_folder)
    assert encoder("transformers", vit_folder, batch=3).identity == ours.identity
    copy = tmp_path / "copy"
    shutil.copytree(vit_folder, copy)
    assert encoder("transformers", copy).identity == ours.identity
    (copy / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5]}')
    assert encoder("transformers", copy).identity != ours.identity
    (copy / "preprocessor_config.json").unlink()
    from safetensors.torch import load_file, save_file

    weights = load_file(copy / "model.safetensors")
    weights["embeddings.cls_token"] = weights["embeddings.cls_token"] + 1e-3
    save_file(weights, copy / "model.safetensors")
    assert encoder("transformers", copy).identity != ours.identity
    assert encoder("transformers", vit_folder, feature="mean").identity != ours.identity
    assert encoder("transformers", vit_folder, tile_side_um=28.0).identity != ours.identity


class Times(nn.Module):
    """The first three numbers of a tile's first pixels, times something."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.weight = nn.Parameter(torch.eye(3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(images[:, :, 0, 0], self.weight) * self.factor


def made_of(module: nn.Module, precision: str = "fp32", dim: int = 3) -> Pretrained:
    network = Network(
        module=module,
        dim=dim,
        tile_px=4,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        made_of={},
        weights_digest="",
    )
    return Pretrained(
        network, TileEncoderConfig(name="times", device="cpu", precision=precision), tile_side_um=1.0
    )


def test_a_number_beyond_16_bits_is_set_to_their_end_and_counted() -> None:
    ours = made_of(Times(1e6))
    tiles = np.zeros((2, 4, 4, 3), dtype=np.uint8)
    tiles[0, 0, 0] = 255, 1, 0
    assert ours.encode(tiles)[0].tolist() == [65504.0, np.float16(1e6 / 255), 0.0]
    assert ours.clamped == 1


def test_what_overflows_in_half_precision_is_computed_again_in_full() -> None:
    class Overflows(Times):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images) * 1e-3

    # 1e6 is infinite in 16 bits, and a thousandth of it is again a number in 32.
    ours = made_of(Overflows(1e6), precision="fp16")
    tiles = np.zeros((3, 4, 4, 3), dtype=np.uint8)
    tiles[1, 0, 0] = 255
    np.testing.assert_allclose(ours.encode(tiles)[:, 0], [0, 1000, 0], rtol=1e-3)
    assert ours.clamped == 0


def test_a_network_that_gives_no_numbers_is_an_error() -> None:
    with pytest.raises(IntegrityError, match="not finite for 5 of 5 tiles, also in 32 bits"):
        made_of(Times(float("nan"))).encode(tiles_of(4))


def test_a_network_of_another_width_is_an_error() -> None:
    with pytest.raises(IntegrityError, match="'times' gave 3 numbers a tile, not 1024"):
        made_of(Times(1.0), dim=1024).encode(tiles_of(4))


@pytest.mark.parametrize(
    "tiles",
    [tiles_of(32), tiles_of(28).astype(np.float32), tiles_of(28)[0], tiles_of(28)[..., :1]],
    ids=["side", "floats", "one tile", "one channel"],
)
def test_tiles_of_another_shape_or_type_are_refused(vit_folder: Path, tiles: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"takes tiles \(tile, 28, 28, 3\) of uint8, not .* Resize them"):
        encoder("transformers", vit_folder).encode(tiles)


# --- devices ---------------------------------------------------------------------------------


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_device_that_is_not_there_is_named(vit_folder: Path) -> None:
    with pytest.raises(UsageError, match=r"encoder\.device is 'cuda', but this torch .* Set it to \"auto\""):
        TILE_ENCODERS["transformers"](
            TileEncoderConfig(name="transformers", model=str(vit_folder), device="cuda")
        )


@pytest.mark.parametrize("device", ["gpu", "cuda:x", ""])
def test_a_device_that_is_none_is_refused(vit_folder: Path, device: str) -> None:
    with pytest.raises(UsageError, match=rf"encoder\.device is '{device}': it is one of \"auto\""):
        TILE_ENCODERS["transformers"](
            TileEncoderConfig(name="transformers", model=str(vit_folder), device=device)
        )


def test_a_precision_that_is_none_is_refused(vit_folder: Path) -> None:
    with pytest.raises(UsageError, match=r"encoder\.precision is 'int8': it is one of \"auto\""):
        encoder("transformers", vit_folder, precision="int8")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_nearly_the_same_vectors(vit_folder: Path) -> None:
    config = TileEncoderConfig(name="transformers", model=str(vit_folder), batch=2)
    tiles = tiles_of(28)
    on_gpu = TILE_ENCODERS["transformers"](config)
    np.testing.assert_allclose(
        on_gpu.encode(tiles), encoder("transformers", vit_folder).encode(tiles), atol=0.1
    )
