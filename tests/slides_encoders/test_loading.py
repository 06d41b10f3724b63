"""Where weights come from, and what is said when they do not come or do not fit."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError
from safetensors.torch import load_file, save_file
from tiny_encoders import TIMM_ARGUMENTS, normalised, tiles_of

from kemm.core.errors import InputError, KemmError, PolicyError, ServiceError, UnknownName, UsageError
from kemm.modalities.slides import TILE_ENCODERS, TileEncoder, TileEncoderConfig
from kemm.modalities.slides.encoders import RECORDS
from kemm.modalities.slides.encoders.records import IMAGENET_MEAN, IMAGENET_STD


def made(name: str, model: object = None, **settings: Any) -> TileEncoder:
    config = TileEncoderConfig(
        name=name, model=None if model is None else str(model), device="cpu", **settings
    )
    return TILE_ENCODERS[name](config)


# --- by name -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, record in RECORDS.items() if record.library == "own"])
def test_an_encoder_that_needs_its_authors_code_says_what_to_do(name: str) -> None:
    record = RECORDS[name]
    with pytest.raises(UsageError) as caught:
        made(name)
    told = str(caught.value)
    assert told.startswith(
        f"{record.title} cannot be run here: its weights work only with its authors' own program"
    )
    assert record.page in told
    assert record.licence in told
    assert "`kemm slides --import FOLDER`" in told


def test_the_encoders_that_need_their_authors_code_are_these() -> None:
    own = {name for name, record in RECORDS.items() if record.library == "own"}
    assert own == {"conch", "conch-v1.5", "ctranspath", "titan", "chief", "prism"}


def test_an_unknown_encoder_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="no tile encoder is called 'uni-2'; did you mean 'uni2'"):
        made("uni-2")


@pytest.mark.parametrize("name", ["timm", "transformers"])
def test_a_library_needs_a_model(name: str) -> None:
    with pytest.raises(UsageError, match=rf"encoder\.name is '{name}': name the model in encoder\.model"):
        made(name)


@pytest.mark.parametrize("settings", [{"feature": "mean"}, {"tile_side_um": 56.0}])
def test_what_a_record_knows_cannot_be_set(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=rf"encoder\.{next(iter(settings))} is set, but 'uni' has its own"):
        made("uni", **settings)


@pytest.mark.parametrize(("name", "library"), [("phikon", "transformers"), ("transformers", "transformers")])
def test_without_the_optional_part_its_name_is_told(
    name: str, library: str, vit_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UsageError, match=r"pip install 'kemm\[encoders\]'"):
        made(name, vit_folder)


@pytest.mark.parametrize("name", ["uni", "timm"])
def test_without_timm_the_optional_part_is_told(
    name: str, vit_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match=r"pip install 'kemm\[encoders\]'"):
        made(name, vit_folder)


# --- the hub -------------------------------------------------------------------------------------


class Hub:
    """Stands in for the Hugging Face hub."""

    def __init__(self, answer: Exception | Path) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str]] = []

    def __call__(self, name: str, file: str) -> str:
        self.asked.append((name, file))
        if isinstance(self.answer, Exception):
            raise self.answer
        if not (self.answer / file).is_file():
            raise answered(EntryNotFoundError, "404")
        return str(self.answer / file)


def answered(kind: type[Exception], told: str) -> Exception:
    """The hub's error; its makers want a response of whichever library the version talks with."""
    error = kind.__new__(kind)
    Exception.__init__(error, told)
    return error


def hub(monkeypatch: pytest.MonkeyPatch, answer: Exception | Path) -> Hub:
    instead = Hub(answer)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", instead)
    return instead


def test_a_gated_model_says_where_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    hub(monkeypatch, answered(GatedRepoError, "403"))
    with pytest.raises(
        ServiceError, match=r"Ask at https://huggingface.co/owkin/phikon-v2, then run `hf auth login`"
    ):
        made("phikon-v2")


def test_a_gated_model_of_timm_says_where_to_ask(timm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hub(monkeypatch, answered(GatedRepoError, "403"))
    with pytest.raises(
        ServiceError, match=r"Ask at https://huggingface.co/MahmoodLab/UNI2-h, then run `hf auth login`"
    ):
        made("uni2")


def test_a_model_that_the_hub_does_not_know_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    hub(monkeypatch, answered(RepositoryNotFoundError, "404"))
    with pytest.raises(
        ServiceError, match="the hub knows no model 'nobody/nothing', or does not show it to you"
    ):
        made("transformers", "nobody/nothing")


def test_without_a_network_the_folder_is_the_way() -> None:
    # The tests' environment forbids the library to go online.
    with pytest.raises(
        ServiceError, match=r"not on this machine and could not be fetched.*`hf download owkin/phikon`"
    ):
        made("phikon")


def test_the_hub_is_asked_for_safetensors_first_and_no_code(
    dinov2_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = hub(monkeypatch, dinov2_folder).asked
    assert made("transformers", "some/model").identity == made("transformers", dinov2_folder).identity
    assert asked == [
        ("some/model", "model.safetensors"),
        ("some/model", "config.json"),
        ("some/model", "preprocessor_config.json"),
    ]


def test_a_model_of_the_hub_without_weights_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub(monkeypatch, tmp_path)
    with pytest.raises(ServiceError, match=r"'some/model' has no model\.safetensors or .* at the hub"):
        made("transformers", "some/model")


# --- folders -------------------------------------------------------------------------------------


@pytest.fixture
def vit(vit_folder: Path, tmp_path: Path) -> Path:
    """One's own copy of the tiny ViT."""
    shutil.copytree(vit_folder, tmp_path / "vit")
    return tmp_path / "vit"


def config_of(folder: Path, **changes: Any) -> None:
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(about | changes))


class Payload:
    """Would run when unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("this ran",)


def test_pickled_weights_are_refused(vit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (vit / "model.safetensors").unlink()
    torch.save({"state_dict": Payload()}, vit / "pytorch_model.bin")
    with pytest.raises(
        PolicyError, match=r"pytorch_model\.bin: refused, because this \.bin holds Python objects"
    ):
        made("transformers", vit)
    assert capsys.readouterr().out == ""


def test_tensors_in_a_bin_give_the_same_vectors_as_safetensors(vit: Path, vit_folder: Path) -> None:
    torch.save(load_file(vit / "model.safetensors"), vit / "pytorch_model.bin")
    (vit / "model.safetensors").unlink()
    tiles = tiles_of(28)
    assert (made("transformers", vit).encode(tiles) == made("transformers", vit_folder).encode(tiles)).all()


def test_a_damaged_file_of_weights_is_named(vit: Path) -> None:
    whole = (vit / "model.safetensors").read_bytes()
    (vit / "model.safetensors").write_bytes(whole[:1000])
    with pytest.raises(InputError, match=r"model\.safetensors: this is not a whole safetensors file"):
        made("transformers", vit)


def test_missing_weights_are_an_error_not_random(vit: Path) -> None:
    weights = load_file(vit / "model.safetensors")
    del weights["embeddings.cls_token"]
    save_file(weights, vit / "model.safetensors")
    with pytest.raises(
        InputError, match=r"not those of the architecture: 1 missing .*'embeddings\.cls_token'"
    ):
        made("transformers", vit)


def test_registers_that_the_architecture_lacks_are_an_error(dinov2_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(dinov2_folder, tmp_path / "plain")
    config_of(tmp_path / "plain", model_type="dinov2")
    with pytest.raises(InputError, match=r"1 not known \(the first is 'embeddings\.register_tokens'\)"):
        made("transformers", tmp_path / "plain")


def test_weights_of_another_width_are_an_error(vit: Path) -> None:
    config_of(vit, intermediate_size=128)
    with pytest.raises((InputError), match=r"not those of the architecture: .* of another shape"):
        made("transformers", vit)


def test_a_head_for_another_task_is_left_out(vit: Path, vit_folder: Path) -> None:
    weights = {f"vit.{name}": tensor for name, tensor in load_file(vit / "model.safetensors").items()}
    weights = {name: tensor for name, tensor in weights.items() if "pooler" not in name}
    save_file(weights | {"classifier.weight": torch.zeros(2, 32)}, vit / "model.safetensors")
    tiles = tiles_of(28)
    assert (made("transformers", vit).encode(tiles) == made("transformers", vit_folder).encode(tiles)).all()
    with pytest.raises(InputError, match=r"2 missing \(the first is 'pooler\.dense\.bias'\)"):
        made("transformers", vit, feature="pooled")


def test_a_model_that_brings_code_is_refused(vit: Path) -> None:
    config_of(vit, auto_map={"AutoModel": "modeling_own.Own"})
    with pytest.raises(PolicyError, match="needs program code that comes with it, which kemm never runs"):
        made("transformers", vit)


def test_a_model_of_words_is_refused(vit: Path) -> None:
    config_of(vit, model_type="bert")
    with pytest.raises(InputError, match="'bert' is no vision model with one image size"):
        made("transformers", vit)


def test_a_model_type_that_is_none_is_refused(vit: Path) -> None:
    config_of(vit, model_type="vitt")
    with pytest.raises(InputError, match=r"knows no model_type 'vitt'\. Upgrade it"):
        made("transformers", vit)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda folder: (folder / "model.safetensors").unlink(),
            "the weights are looked for in model.safetensors",
        ),
        (lambda folder: (folder / "config.json").unlink(), "does not name a model_type of transformers"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json: this is not JSON"),
        (lambda folder: (folder / "config.json").write_text("[]"), "holds a list, not settings by name"),
        (
            lambda folder: config_of(folder, hidden_size="wide"),
            r"transformers cannot use its config\.json \(",
        ),
        (lambda folder: config_of(folder, image_size=[28, 56]), "declares no square input"),
        (lambda folder: shutil.rmtree(folder), "there is no such folder"),
        (
            lambda folder: (folder / "preprocessor_config.json").write_text('{"image_mean": 0.5}'),
            "mean and std are three numbers each, not 0.5",
        ),
    ],
)
def test_a_folder_that_is_not_whole_says_what_it_lacks(vit: Path, change: Any, told: str) -> None:
    change(vit)
    with pytest.raises(KemmError, match=told):
        made("transformers", vit)


def test_a_folder_of_transformers_is_not_timms(timm: Any, vit: Path) -> None:
    with pytest.raises(InputError, match=r'set encoder\.name to "transformers"'):
        made("timm", vit)


def test_a_folder_of_timm_is_not_transformers(timm_folder: Path) -> None:
    with pytest.raises(InputError, match=r'set encoder\.name to "timm"'):
        made("transformers", timm_folder)


def test_an_architecture_that_timm_lacks_names_the_nearest(
    timm: Any, timm_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(timm_folder, tmp_path / "other")
    config_of(tmp_path / "other", architecture="vit_tiny_patch16_225")
    with pytest.raises(UnknownName, match="did you mean 'vit_tiny_patch16_22"):
        made("timm", tmp_path / "other")


def test_weights_of_another_architecture_of_timm_are_an_error(
    timm: Any, timm_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(timm_folder, tmp_path / "other")
    config_of(tmp_path / "other", model_args=TIMM_ARGUMENTS)
    # The gate of SwiGLU halves what comes between: only these two tensors tell.
    with pytest.raises(
        InputError,
        match=r"not those of the architecture: 2 of another shape \(the first is 'blocks\.0\.mlp\.fc2",
    ):
        made("timm", tmp_path / "other")


def test_arguments_that_timm_does_not_take_are_an_error(timm: Any, timm_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(timm_folder, tmp_path / "other")
    config_of(tmp_path / "other", model_args={"embed_dim": 48, "num_heads": 7})
    with pytest.raises(InputError, match="timm cannot build 'vit_tiny_patch16_224' with"):
        made("timm", tmp_path / "other")


def test_a_model_by_timms_name_comes_from_timms_place_with_its_transform(
    timm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(4)
    model = timm.create_model("test_vit", num_classes=1000).eval()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    asked = hub(monkeypatch, tmp_path).asked
    ours = made("timm", "test_vit.r160_in1k")
    assert asked[0] == ("timm/test_vit.r160_in1k", "model.safetensors")
    assert (ours.tile_px, ours.dim, ours.tile_side_um) == (160, model.num_features, 80.0)
    about, tiles = timm.get_pretrained_cfg("test_vit.r160_in1k"), tiles_of(160, 2)
    with torch.no_grad():
        tokens = model.forward_features(normalised(tiles, about.mean, about.std))
    np.testing.assert_allclose(ours.encode(tiles), tokens[:, 0].numpy(), atol=2e-3, rtol=2e-3)


def test_a_model_of_timm_without_weights_is_told(timm: Any) -> None:
    with pytest.raises(UsageError, match="timm's 'vit_small_resnet26d_224' has no pretrained weights"):
        made("timm", "vit_small_resnet26d_224")


def test_a_network_without_a_class_token_gives_what_it_pools(tmp_path: Path) -> None:
    from transformers import SwinConfig, SwinModel

    torch.manual_seed(5)
    model = SwinModel(
        SwinConfig(image_size=32, patch_size=4, embed_dim=12, depths=[1, 1], num_heads=[2, 2], window_size=4)
    ).eval()
    model.save_pretrained(tmp_path)
    ours, tiles = made("transformers", tmp_path), tiles_of(32)
    with torch.no_grad():
        theirs = model(pixel_values=normalised(tiles, IMAGENET_MEAN, IMAGENET_STD)).pooler_output
    np.testing.assert_allclose(ours.encode(tiles), theirs.numpy(), atol=2e-3, rtol=2e-3)
    with pytest.raises(UsageError, match=r"encoder\.feature is \'class\', but SwinModel has no class token"):
        made("transformers", tmp_path, feature="class")


def test_a_record_without_a_config_says_so(vit: Path) -> None:
    (vit / "config.json").unlink()
    with pytest.raises(InputError, match=r"there is no config\.json"):
        made("phikon", vit)
