"""Names found by a model of one's choice: here a tiny one whose answers are set by hand, token by token."""

from __future__ import annotations

from pathlib import Path

import pytest

from kemm import Study, refine_study
from kemm.core.errors import ServiceError, UsageError
from kemm.modalities.reports import MASK
from kemm.modalities.reports.names import NameFinder
from studies import StudyFolder

WORDS = ["mrs", "alder", "of", "oakham", "has", "a", "tumour", "fuhrman", "grade", "2", ":", "."]
NAMES = {"alder": "B-PER", "oakham": "LOC", "fuhrman": "B-PER", "tumour": "MISC"}
LABELS = ["O", "B-PER", "LOC", "MISC"]


def saved_model(folder: Path, window: int = 32) -> Path:
    """BERT without layers that mix tokens: each word's own embedding says its label."""
    import torch
    import transformers

    vocabulary = {word: at for at, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    transformers.BertTokenizerFast(vocab=vocabulary, model_max_length=window).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=8,
        num_hidden_layers=0,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=window,
        id2label=dict(enumerate(LABELS)),
    )
    model = transformers.BertForTokenClassification(config)
    embeddings = model.bert.embeddings
    with torch.no_grad():
        for part in (
            embeddings.word_embeddings,
            embeddings.position_embeddings,
            embeddings.token_type_embeddings,
        ):
            part.weight.zero_()
        for word, at in vocabulary.items():
            embeddings.word_embeddings.weight[at, LABELS.index(NAMES.get(word, "O"))] = 1.0
        model.classifier.weight.copy_(torch.eye(len(LABELS), 8))
        model.classifier.bias.zero_()
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_model(tmp_path_factory.mktemp("names"))


def test_persons_and_places_are_masked_and_an_eponym_is_not(model: Path) -> None:
    text = "Mrs Alder of Oakham has a tumour, Fuhrman grade: 2."
    hidden = NameFinder(str(model)).hide(text)
    assert hidden == f"Mrs {MASK * 5} of {MASK * 6} has a tumour, Fuhrman grade: 2."


def test_names_beyond_the_models_window_are_found(model: Path) -> None:
    text = "has a grade . " * 40 + "Alder ." + " of a tumour" * 40
    hidden = NameFinder(str(model)).hide(text)
    assert len(hidden) == len(text)
    assert hidden == text.replace("Alder", MASK * 5)


def test_labels_are_a_setting(model: Path) -> None:
    assert NameFinder(str(model), ["misc"]).hide("Alder has a tumour.") == f"Alder has a {MASK * 6}."
    with pytest.raises(UsageError, match=r"has the labels B-PER, LOC, MISC, O, and none of STREET"):
        NameFinder(str(model), ["STREET"])


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"model of names '.*nowhere' could not be loaded"):
        NameFinder(str(tmp_path / "nowhere"))


def test_a_study_masks_them_before_the_refiner_reads(study: StudyFolder, model: Path) -> None:
    case = study.with_report[0]
    (study / "reports" / f"{case}.txt").write_text("Seen by Alder of Oakham. Fuhrman grade: 2.")
    config = Study.load(study.path, [f"reports.names_model={model}"])
    report = refine_study(config).reports[case]  # type: ignore[index]
    assert "Alder" not in report.text
    assert "Oakham" not in report.text
    assert {one.kind: one.value for one in report.statements}["grade"] == "2"
