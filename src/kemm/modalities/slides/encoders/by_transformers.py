"""Encoders that transformers builds: a record's class, or any vision model by name or from a folder.

Code that comes with a model is never run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from kemm.core.errors import InputError, PolicyError, UsageError
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

_NOT_OF_THE_NETWORK = (
    "auto_map",
    "_name_or_path",
    "architectures",
    "transformers_version",
    "dtype",
    "torch_dtype",
)
"""Keys of config.json that change no vector."""
_CLASS_TOKENS = ("cls_token", "class_embedding")


class TransformersFeatures(nn.Module):
    """Vectors of a transformers model."""

    def __init__(self, model: nn.Module, feature: Feature) -> None:
        super().__init__()
        self.model, self.feature = model, feature
        self.prefix = 1 + int(getattr(model.config, "num_register_tokens", 0) or 0)

    def forward(self, images: Tensor) -> Tensor:
        """(tile, dim) of normalised images (tile, 3, side, side)."""
        out = self.model(pixel_values=images)
        if self.feature == "pooled":
            if getattr(out, "pooler_output", None) is None:
                raise UsageError(
                    'encoder.feature is "pooled", but this model does not pool. Set it to "mean".'
                )
            # Some pool to (tile, dim, 1, 1).
            return torch.flatten(out.pooler_output, start_dim=1)
        return pool(out.last_hidden_state, self.prefix, self.feature)


def import_transformers() -> Any:
    """The library.

    Raises:
        UsageError: It is not installed.
    """
    return imported("transformers")


def transformers_by_record(record: EncoderRecord, model: str | None) -> Network:
    """A record's encoder, from the hub or the folder or other hub name `model`."""
    transformers = import_transformers()
    assert record.hub is not None
    files = find_files(model or record.hub, page=record.page)
    kind = getattr(transformers, record.architecture)
    # Hibou's config calls itself "dinov2" and brings code for its register tokens; the library has a class for them.
    own = {
        key: value for key, value in files.config.items() if key not in (*_NOT_OF_THE_NETWORK, "model_type")
    }
    if not own:
        raise InputError(f"{files.origin}: there is no config.json. Download it into the folder.")
    module = _loaded(kind, _configured(kind.config_class, own, files), record.feature, files)
    return Network(
        module=module,
        dim=record.dim,
        tile_px=record.tile_px,
        mean=record.mean,
        std=record.std,
        made_of={"architecture": record.architecture, "config": own},
        weights_digest=files.digest(),
    )


def transformers_by_name(model: str, feature: Feature | None) -> Network:
    """Any vision model of transformers: by its hub name, or in a folder."""
    transformers = import_transformers()
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    files = find_files(model)
    about = dict(files.config)
    if "model_type" not in about:
        raise InputError(
            f"{files.origin}: its config.json does not name a model_type of transformers. "
            'If it is a model of timm, set encoder.name to "timm".'
        )
    if "AutoModel" in (about.get("auto_map") or {}):
        raise PolicyError(
            f"{files.origin}: this model needs program code that comes with it, which kemm never runs. "
            "Extract features with its authors' code, and bring them in with `kemm slides --import`."
        )
    if about["model_type"] not in CONFIG_MAPPING:
        raise InputError(
            f"{files.origin}: this transformers ({transformers.__version__}) knows no model_type "
            f"{about['model_type']!r}. Upgrade it."
        )
    about = {key: value for key, value in about.items() if key not in _NOT_OF_THE_NETWORK}
    config = _configured(transformers.AutoConfig.for_model, about, files)
    kind = MODEL_MAPPING.get(type(config), None)
    if getattr(kind, "main_input_name", None) != "pixel_values" or not hasattr(config, "image_size"):
        raise InputError(
            f"{files.origin}: {about['model_type']!r} is no vision model with one image size. "
            "Choose one that takes images only, such as a ViT or DINOv2."
        )
    side = side_of(_input_size(files.preprocessor) or config.image_size, files.origin)
    module = _loaded(kind, config, feature, files)
    with torch.inference_mode():
        dim = int(module(torch.zeros(1, 3, side, side)).shape[1])
    return Network(
        module=module,
        dim=dim,
        tile_px=side,
        mean=triple_of(files.preprocessor.get("image_mean"), IMAGENET_MEAN, files.origin),
        std=triple_of(files.preprocessor.get("image_std"), IMAGENET_STD, files.origin),
        made_of={"config": about, "feature": module.feature},
        weights_digest=files.digest(),
    )


def _input_size(preprocessor: dict[str, Any]) -> object:
    """What tiles are cropped to, or resized to where they are not cropped."""
    if preprocessor.get("do_center_crop") and "crop_size" in preprocessor:
        return preprocessor["crop_size"]
    return preprocessor.get("size")


def _loaded(kind: Any, config: Any, feature: Feature | None, files: EncoderFiles) -> TransformersFeatures:
    with _quiet():
        model, report = kind.from_pretrained(
            None,
            config=config,
            state_dict=read_weights(files.weights),
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told, and refused below with the rest
        )
    has_class_token = any(name.endswith(_CLASS_TOKENS) for name, _ in model.named_parameters())
    if feature is None:
        feature = "class" if has_class_token else "pooled"
    if feature != "pooled" and not has_class_token:
        raise needs_tokens(feature, type(model).__name__)
    parts = {name.partition(".")[0] for name in model.state_dict()}
    unused = () if feature == "pooled" else ("pooler.", "embeddings.mask_token")
    prefix = f"{model.base_model_prefix}." if model.base_model_prefix else ""

    def belongs(name: str) -> bool:
        return name.removeprefix(prefix).partition(".")[0] in parts

    refuse_mismatch(
        files.origin,
        [name for name in report["missing_keys"] if not name.startswith(unused)],
        # A head for another task sits beside the network and is not used.
        [name for name in report["unexpected_keys"] if belongs(name)],
        [str(entry[0] if isinstance(entry, tuple) else entry) for entry in report["mismatched_keys"]],
    )
    return TransformersFeatures(model, feature).eval()


def _configured(make: Callable[..., Any], about: dict[str, Any], files: EncoderFiles) -> Any:
    try:
        return make(**about)
    except Exception as error:  # each version checks values with errors of its own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{files.origin}: transformers cannot use its config.json ({reason}). Download it again, or upgrade transformers."
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's progress bar and table of mismatches; ours is an error."""
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging
    before, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bar:
            logging.enable_progress_bar()
