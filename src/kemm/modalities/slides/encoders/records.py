"""The tile encoders of the field: what each is, how its vectors are made, and on what terms it is to be had.

Facts are those of the model cards and papers, of their authors' programs, and of the table that TRIDENT keeps of them;
docs/encoders.md says which could not be confirmed. None is shipped; each has terms of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Library = Literal["timm", "transformers", "own"]
Feature = Literal["class", "mean", "class+mean", "pooled", "layer3"]
Triple = tuple[float, float, float]

IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
OPENAI_MEAN: Triple = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD: Triple = (0.26862954, 0.26130258, 0.27577711)


class EncoderRecord(BaseModel):
    """A pretrained encoder and what must travel with it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    title: str
    """What its authors call it."""
    level: Literal["tile", "slide"] = "tile"
    """A slide encoder makes one vector of a whole slide."""
    hub: str | None
    """Its name at the Hugging Face hub."""
    library: Library
    """What builds it; "own" where only its authors' code does."""
    architecture: str
    """A name of timm or a class of transformers; else in words."""
    arguments: Mapping[str, Any] = Field(default_factory=dict)
    """What timm builds the architecture with."""
    dim: int
    tile_px: int
    tile_side_um: float
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    """How tiles of another size were resized for it."""
    feature: Feature = "class"
    """"class": the class token; "mean": of the patch tokens; "class+mean": both, one after the other;
    "pooled": as the network pools by itself; "layer3": mean of the third stage of a ResNet."""
    licence: str
    """Of the weights."""
    gated: bool
    """Whether one has to ask for access."""
    page: str
    """Where to read of it, and to ask."""


def _mahmood(name: str) -> str:
    return f"https://huggingface.co/MahmoodLab/{name}"


_NON_COMMERCIAL = "CC-BY-NC-ND-4.0"
_H_OPTIMUS: dict[str, Any] = {
    "library": "timm",
    "architecture": "vit_giant_patch14_reg4_dinov2",
    "arguments": {"img_size": 224, "init_values": 1e-5, "dynamic_img_size": False},
    "dim": 1536,
    "tile_px": 224,
    "tile_side_um": 112.0,
    "mean": (0.707223, 0.578729, 0.703617),
    "std": (0.211883, 0.230117, 0.177517),
    "gated": True,
}
_HIBOU: dict[str, Any] = {
    "library": "transformers",
    "architecture": "Dinov2WithRegistersModel",
    "tile_px": 224,
    "tile_side_um": 112.0,
    "mean": (0.7068, 0.5755, 0.722),
    "std": (0.195, 0.2316, 0.1816),
    "licence": "Apache-2.0",
    "gated": True,
}
_RESNET50: dict[str, Any] = {
    "hub": "timm/resnet50.tv_in1k",
    "library": "timm",
    "architecture": "resnet50",
    "tile_px": 224,
    "tile_side_um": 112.0,
    "interpolation": "bilinear",
    "licence": "BSD-3-Clause",
    "gated": False,
    "page": "https://huggingface.co/timm/resnet50.tv_in1k",
}

_ALL = (
    EncoderRecord(name="resnet50", title="ResNet-50 (ImageNet)", dim=2048, feature="pooled", **_RESNET50),
    EncoderRecord(
        name="resnet50-layer3",
        title="ResNet-50 (ImageNet), cut after its third stage as CLAM does",
        dim=1024,
        feature="layer3",
        **_RESNET50,
    ),
    EncoderRecord(
        name="ctranspath",
        title="CTransPath",
        hub=None,
        library="own",
        architecture="Swin-T with a convolutional stem",
        dim=768,
        tile_px=224,
        tile_side_um=224.0,
        interpolation="bilinear",
        feature="pooled",
        licence="GPL-3.0; its authors: for non-commercial academic purposes",
        gated=False,
        page="https://github.com/Xiyue-Wang/TransPath",
    ),
    EncoderRecord(
        name="uni",
        title="UNI",
        hub="MahmoodLab/UNI",
        library="timm",
        architecture="vit_large_patch16_224",
        arguments={"img_size": 224, "init_values": 1e-5, "dynamic_img_size": True},
        dim=1024,
        tile_px=224,
        tile_side_um=112.0,
        interpolation="bilinear",
        licence=_NON_COMMERCIAL,
        gated=True,
        page=_mahmood("UNI"),
    ),
    EncoderRecord(
        name="uni2",
        title="UNI2-h",
        hub="MahmoodLab/UNI2-h",
        library="timm",
        architecture="vit_giant_patch14_224",
        arguments={
            "img_size": 224,
            "patch_size": 14,
            "depth": 24,
            "num_heads": 24,
            "init_values": 1e-5,
            "embed_dim": 1536,
            "mlp_ratio": 2.66667 * 2,
            "no_embed_class": True,
            "mlp_layer": "SwiGLUPacked",
            "act_layer": "silu",
            "reg_tokens": 8,
            "dynamic_img_size": True,
        },
        dim=1536,
        tile_px=224,
        tile_side_um=112.0,
        interpolation="bilinear",
        licence=_NON_COMMERCIAL,
        gated=True,
        page=_mahmood("UNI2-h"),
    ),
    EncoderRecord(
        name="conch",
        title="CONCH",
        hub="MahmoodLab/CONCH",
        library="own",
        architecture="ViT-B/16 with attentional pooling (CoCa)",
        dim=512,
        tile_px=448,
        tile_side_um=256.0,
        mean=OPENAI_MEAN,
        std=OPENAI_STD,
        feature="pooled",
        licence=_NON_COMMERCIAL,
        gated=True,
        page=_mahmood("CONCH"),
    ),
    EncoderRecord(
        name="conch-v1.5",
        title="CONCH v1.5",
        hub="MahmoodLab/conchv1_5",
        library="own",
        architecture="ViT-L/16 with attentional pooling",
        dim=768,
        tile_px=448,
        tile_side_um=256.0,
        feature="pooled",
        licence=_NON_COMMERCIAL,
        gated=True,
        page=_mahmood("conchv1_5"),
    ),
    EncoderRecord(
        name="virchow2",
        title="Virchow2",
        hub="paige-ai/Virchow2",
        library="timm",
        architecture="vit_huge_patch14_224",
        arguments={
            "img_size": 224,
            "init_values": 1e-5,
            "mlp_ratio": 5.3375,
            "mlp_layer": "SwiGLUPacked",
            "act_layer": "silu",
            "reg_tokens": 4,
            "dynamic_img_size": True,
        },
        dim=2560,
        tile_px=224,
        tile_side_um=112.0,
        feature="class+mean",
        licence=_NON_COMMERCIAL,
        gated=True,
        page="https://huggingface.co/paige-ai/Virchow2",
    ),
    EncoderRecord(
        name="gigapath",
        title="Prov-GigaPath (tile encoder)",
        hub="prov-gigapath/prov-gigapath",
        library="timm",
        architecture="vit_giant_patch14_dinov2",
        arguments={
            "img_size": 224,
            "patch_size": 16,
            "embed_dim": 1536,
            "depth": 40,
            "num_heads": 24,
            "init_values": 1e-5,
            "mlp_ratio": 5.33334,
        },
        dim=1536,
        tile_px=224,
        tile_side_um=112.0,
        licence="Apache-2.0; its authors: for research",
        gated=True,
        page="https://huggingface.co/prov-gigapath/prov-gigapath",
    ),
    EncoderRecord(
        name="h-optimus-0",
        title="H-optimus-0",
        hub="bioptimus/H-optimus-0",
        licence="Apache-2.0",
        page="https://huggingface.co/bioptimus/H-optimus-0",
        **_H_OPTIMUS,
    ),
    EncoderRecord(
        name="h-optimus-1",
        title="H-optimus-1",
        hub="bioptimus/H-optimus-1",
        licence=_NON_COMMERCIAL,
        page="https://huggingface.co/bioptimus/H-optimus-1",
        **_H_OPTIMUS,
    ),
    EncoderRecord(
        name="phikon",
        title="Phikon",
        hub="owkin/phikon",
        library="transformers",
        architecture="ViTModel",
        dim=768,
        tile_px=224,
        tile_side_um=112.0,
        interpolation="bilinear",
        licence="Owkin non-commercial",
        gated=False,
        page="https://huggingface.co/owkin/phikon",
    ),
    EncoderRecord(
        name="phikon-v2",
        title="Phikon-v2",
        hub="owkin/phikon-v2",
        library="transformers",
        architecture="Dinov2Model",
        dim=1024,
        tile_px=224,
        tile_side_um=112.0,
        licence="Owkin non-commercial",
        gated=False,
        page="https://huggingface.co/owkin/phikon-v2",
    ),
    EncoderRecord(
        name="hibou-b",
        title="Hibou-B",
        hub="histai/hibou-b",
        dim=768,
        page="https://huggingface.co/histai/hibou-b",
        **_HIBOU,
    ),
    EncoderRecord(
        name="hibou-l",
        title="Hibou-L",
        hub="histai/hibou-L",
        dim=1024,
        page="https://huggingface.co/histai/hibou-L",
        **_HIBOU,
    ),
    EncoderRecord(
        name="titan",
        title="TITAN",
        level="slide",
        hub="MahmoodLab/TITAN",
        library="own",
        architecture="Transformer over CONCH v1.5 features",
        dim=768,
        tile_px=448,
        tile_side_um=256.0,
        feature="pooled",
        licence=_NON_COMMERCIAL,
        gated=True,
        page=_mahmood("TITAN"),
    ),
    EncoderRecord(
        name="chief",
        title="CHIEF",
        level="slide",
        hub=None,
        library="own",
        architecture="Attention over CTransPath features",
        dim=768,
        tile_px=224,
        tile_side_um=256.0,
        interpolation="bilinear",
        feature="pooled",
        licence="GPL-3.0 by its README, AGPL-3.0 by others; for non-commercial academic purposes",
        gated=True,
        page="https://github.com/hms-dbmi/CHIEF",
    ),
    EncoderRecord(
        name="prism",
        title="PRISM",
        level="slide",
        hub="paige-ai/Prism",
        library="own",
        architecture="Perceiver over Virchow features",
        dim=1280,
        tile_px=224,
        tile_side_um=112.0,
        feature="pooled",
        licence=_NON_COMMERCIAL,
        gated=True,
        page="https://huggingface.co/paige-ai/Prism",
    ),
)

RECORDS: Mapping[str, EncoderRecord] = {record.name: record for record in _ALL}
"""By the name that study.yaml uses."""
