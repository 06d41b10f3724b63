"""Encoders that timm builds: a record's architecture, or any model of timm's by name or from a folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from kemm.core.errors import InputError, UnknownName, UsageError
from kemm.core.files import read_weights
from kemm.modalities.slides.encoders.network import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Network,
    needs_tokens,
    pool,
    refuse_mismatch,
    side_of,
    triple_of,
)
from kemm.modalities.slides.encoders.records import EncoderRecord, Feature
from kemm.modalities.slides.encoders.torchvision_import import imported
from kemm.modalities.slides.encoders.weights import EncoderFiles, find_files

HEADS = ("head.", "head_dist.", "fc.", "classifier.")
"""What sits on top for ImageNet's classes and is not used."""


def import_timm() -> Any:
    """The library.

    Raises:
        UsageError: It is not installed.
    """
    return imported("timm")


class TimmFeatures(nn.Module):
    """Vectors of a timm model."""

    def __init__(self, model: nn.Module, feature: Feature) -> None:
        super().__init__()
        self.model, self.feature = model, feature
        self.prefix = int(getattr(model, "num_prefix_tokens", 0))

    def forward(self, images: Tensor) -> Tensor:
        """(tile, dim) of normalised images (tile, 3, side, side)."""
        model: Any = self.model
        vectors: Tensor
        if self.feature == "pooled":
            vectors = model(images)
        elif self.feature == "layer3":
            stages = model.forward_intermediates(
                images, indices=[3], intermediates_only=True, stop_early=True
            )
            vectors = stages[0].mean(dim=(2, 3))
        else:
            vectors = pool(model.forward_features(images), self.prefix, self.feature)
        return vectors


def timm_by_record(record: EncoderRecord, model: str | None) -> Network:
    """A record's encoder, from the hub or the folder or other hub name `model`."""
    import_timm()
    assert record.hub is not None
    files = find_files(model or record.hub, page=record.page)
    module = _loaded(record.architecture, record.arguments, record.feature, files)
    return Network(
        module=module,
        dim=record.dim,
        tile_px=record.tile_px,
        mean=record.mean,
        std=record.std,
        made_of={"architecture": record.architecture, "arguments": dict(record.arguments)},
        weights_digest=files.digest(),
    )


def timm_by_name(model: str, feature: Feature | None) -> Network:
    """Any model of timm: by timm's name, a hub name, or a folder whose config.json timm wrote."""
    timm = import_timm()
    about: dict[str, Any]
    if timm.is_model(model):
        known = timm.get_pretrained_cfg(model)
        if known is None or not known.hf_hub_id:
            raise UsageError(
                f"timm's {model!r} has no pretrained weights at the hub. Name one with a tag, as in "
                '"resnet50.tv_in1k", or a folder.'
            )
        files = find_files(known.hf_hub_id)
        architecture, arguments, about = model.partition(".")[0], {}, known.to_dict()
    else:
        files = find_files(model.removeprefix("hf-hub:").removeprefix("hf_hub:"))
        if "architecture" not in files.config:
            raise InputError(
                f"{files.origin}: its config.json does not name an architecture of timm. "
                'If it is a model of transformers, set encoder.name to "transformers".'
            )
        architecture = str(files.config["architecture"])
        arguments = dict(files.config.get("model_args") or {})
        about = dict(files.config.get("pretrained_cfg") or {})
        if not timm.is_model(architecture):
            raise UnknownName("architecture of timm", architecture, timm.list_models())
    side = side_of(arguments.get("img_size") or about.get("input_size"), files.origin)
    module = _loaded(architecture, arguments, feature, files)
    with torch.inference_mode():
        dim = int(module(torch.zeros(1, 3, side, side)).shape[1])
    return Network(
        module=module,
        dim=dim,
        tile_px=side,
        mean=triple_of(about.get("mean"), IMAGENET_MEAN, files.origin),
        std=triple_of(about.get("std"), IMAGENET_STD, files.origin),
        made_of={"architecture": architecture, "arguments": arguments, "feature": module.feature},
        weights_digest=files.digest(),
    )


def _loaded(
    architecture: str, arguments: Mapping[str, Any], feature: Feature | None, files: EncoderFiles
) -> TimmFeatures:
    timm = import_timm()
    given = _named(arguments)
    given.pop("num_classes", None)
    try:
        # timm would load by itself, but tolerate missing weights.
        model = timm.create_model(architecture, pretrained=False, num_classes=0, **given)
    except (TypeError, RuntimeError, AssertionError, AttributeError) as error:
        raise InputError(
            f"{files.origin}: timm cannot build {architecture!r} with {dict(arguments)}: {error}. "
            "Upgrade timm, or mend model_args in config.json."
        ) from error
    has_class_token = getattr(model, "cls_token", None) is not None
    if feature is None:
        feature = "class" if has_class_token else "pooled"
    if feature not in ("pooled", "layer3") and not has_class_token:
        raise needs_tokens(feature, architecture)
    state, own = read_weights(files.weights), model.state_dict()
    refuse_mismatch(
        files.origin,
        own.keys() - state.keys(),
        [name for name in state.keys() - own.keys() if not name.startswith(HEADS)],
        [name for name in state.keys() & own.keys() if state[name].shape != own[name].shape],
    )
    model.load_state_dict({name: state[name] for name in own})
    return TimmFeatures(model, feature).eval()


def _named(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for timm, a layer's class in place of its name."""
    from timm import layers

    given = dict(arguments)
    if isinstance(name := given.get("mlp_layer"), str):
        if (layer := getattr(layers, name, None)) is None:
            raise UsageError(f"this timm has no layer {name!r}. Upgrade timm.")
        given["mlp_layer"] = layer
    return given
