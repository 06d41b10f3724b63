"""Tiny networks with random weights, saved as the real ones are. Nothing is downloaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_encoders import TIMM_ARCHITECTURE, TIMM_ARGUMENTS, TIMM_LAYERS

# One thread: the tests are tiny, and sums must not depend on how many cores there are.
torch.set_num_threads(1)
# Read once, when the library is first imported.
os.environ["HF_HUB_OFFLINE"] = "1"

from kemm.core.errors import UsageError  # noqa: E402
from kemm.modalities.slides.encoders.by_timm import import_timm  # noqa: E402
from kemm.modalities.slides.encoders.torchvision_import import let_torchvision_import  # noqa: E402

# As the encoders do before they import transformers, which these tests import by hand.
let_torchvision_import()


@pytest.fixture(scope="session")
def timm() -> Any:
    try:
        return import_timm()
    except UsageError:
        pytest.skip("timm is not installed (the optional part kemm[encoders])")


@pytest.fixture(scope="session")
def vit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ViT of transformers, of 28 px tiles."""
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=28,
        patch_size=7,
    )
    return saved(ViTModel(config), tmp_path_factory.mktemp("vit"))


@pytest.fixture(scope="session")
def dinov2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DINOv2 with registers and SwiGLU, of 28 px tiles, with a transform of its own."""
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    torch.manual_seed(1)
    config = Dinov2WithRegistersConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
        num_register_tokens=4,
        use_swiglu_ffn=True,
    )
    model = Dinov2WithRegistersModel(config)
    # At their start the registers are nothing, so that leaving them out would change little.
    torch.nn.init.normal_(model.embeddings.register_tokens)
    folder = saved(model, tmp_path_factory.mktemp("dinov2"))
    (folder / "preprocessor_config.json").write_text(
        '{"image_mean": [0.7, 0.6, 0.7], "image_std": [0.2, 0.25, 0.2], "do_center_crop": true,'
        ' "crop_size": {"height": 28, "width": 28}, "size": {"shortest_edge": 32}}'
    )
    return folder


def saved(model: Any, folder: Path) -> Path:
    from transformers.utils import logging

    logging.disable_progress_bar()
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def timm_folder(timm: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ViT of timm with registers and SwiGLU, as Virchow2 and UNI2-h are, of 28 px tiles."""
    torch.manual_seed(2)
    arguments = TIMM_ARGUMENTS | {"mlp_layer": timm.layers.SwiGLUPacked, "act_layer": torch.nn.SiLU}
    model = timm.create_model(TIMM_ARCHITECTURE, num_classes=0, **arguments)
    for name in ("reg_token", "cls_token"):
        torch.nn.init.normal_(getattr(model, name))
    folder = tmp_path_factory.mktemp("timm")
    timm.models.save_for_hf(
        model,
        str(folder),
        safe_serialization=True,
        model_args=TIMM_ARGUMENTS | TIMM_LAYERS | {"num_classes": 0},
    )
    return folder
