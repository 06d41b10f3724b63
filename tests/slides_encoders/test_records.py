"""What the records say is what the networks are, as far as that can be known without weights."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from kemm.modalities.slides import TILE_ENCODERS
from kemm.modalities.slides.bag import BagAbout, SlideBag, write_bag
from kemm.modalities.slides.encoders import RECORDS
from kemm.modalities.slides.encoders.by_timm import TimmFeatures, _named

ROOT = Path(__file__).resolve().parents[2]

PARAMETERS = {
    "resnet50": 23.5,
    "resnet50-layer3": 23.5,
    "uni": 303,
    "uni2": 681,
    "virchow2": 631,
    "gigapath": 1135,
    "h-optimus-0": 1135,
    "h-optimus-1": 1135,
}
"""In millions, as the papers and model cards tell."""


@pytest.mark.parametrize("name", [name for name, record in RECORDS.items() if record.library == "timm"])
def test_timm_builds_the_architecture_with_its_width_and_size(timm: Any, name: str) -> None:
    record = RECORDS[name]
    with torch.device("meta"):
        model = timm.create_model(record.architecture, num_classes=0, **_named(record.arguments))
        images = torch.empty(1, 3, record.tile_px, record.tile_px)
        vectors = TimmFeatures(model, record.feature).eval()(images)
    assert vectors.shape == (1, record.dim)
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    assert millions == pytest.approx(PARAMETERS[name], rel=0.01)


@pytest.mark.parametrize(
    "name", [name for name, record in RECORDS.items() if record.library == "transformers"]
)
def test_transformers_has_the_class(name: str) -> None:
    assert issubclass(getattr(transformers, RECORDS[name].architecture), transformers.PreTrainedModel)


def test_every_record_can_be_asked_for_by_name() -> None:
    assert set(RECORDS) <= set(TILE_ENCODERS)
    assert set(TILE_ENCODERS) - set(RECORDS) == {"colour-texture", "timm", "transformers"}


@pytest.mark.parametrize("record", RECORDS.values(), ids=lambda record: record.name)
def test_a_record_is_plausible(record: Any) -> None:
    assert record.page.startswith("https://")
    # 20x is half a micrometre a pixel, 10x one, of which 256 pixels are made 224: nothing was trained beyond.
    assert 0.4 <= record.tile_side_um / record.tile_px <= 256 / 224
    assert all(0.3 < value < 0.8 for value in record.mean)
    assert all(0.1 < value < 0.3 for value in record.std)
    assert record.hub is None or record.page.endswith(record.hub)


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("encoders_page", ROOT / "scripts" / "encoders_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_documentation_lists_them_as_the_records_say() -> None:
    page = (ROOT / "docs" / "encoders.md").read_text(encoding="utf-8")
    assert page == script().with_table(page), "run `make docs-reference`"
    for name in [*RECORDS, "colour-texture"]:
        assert page.count(f"\n| `{name}` |") == 1


def test_the_disk_that_the_documentation_tells_is_that_of_a_bag(tmp_path: Path) -> None:
    tiles, dim = 5_000, 1024
    bag = SlideBag(
        np.zeros((tiles, dim), dtype=np.float16),
        np.zeros((tiles, 2), dtype=np.int32),
        BagAbout(slide="A", encoder="uni/" + "0" * 64),
    )
    path = tmp_path / "A.safetensors"
    write_bag(path, bag)
    assert 0 < path.stat().st_size - tiles * (2 * dim + 8) < 1024
    assert script()._disk(dim) == f"{path.stat().st_size / tiles * 1e7 / 1e9:.1f} GB"
    assert "| 1,024 | 2,056 bytes | 20.6 GB |" in (ROOT / "docs" / "slides.md").read_text(encoding="utf-8")
