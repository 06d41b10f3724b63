"""Text encoders: one fitted here, one from a tiny pretrained model made here. Nothing is downloaded."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.feature_extraction.text import TfidfVectorizer

from kemm.core.errors import InputError, ServiceError, UnknownName, UsageError
from kemm.modalities.encoders import (
    PRETRAINED,
    TEXT_ENCODERS,
    TextConfig,
    TextEncoder,
    fit_encoder,
    restore_encoder,
)

TEXTS = [
    "Tumour grade: G1",
    "Tumour grade: G3",
    "Tumour necrosis: present",
    "Tumour necrosis: absent",
    "Primary tumour: pT2a",
    "Primary tumour: pT3a, grade G3",
    "Lymph nodes with tumour: 4",
    "Lymph nodes with tumour: 0",
]
FITTED = TextConfig(dim=4, min_documents=1)


def fitted(config: TextConfig = FITTED, texts: list[str] = TEXTS) -> TextEncoder:
    return fit_encoder(config, texts)


def stored(encoder: TextEncoder) -> TextEncoder:
    about, arrays = encoder.state()
    return restore_encoder(json.loads(json.dumps(about)), arrays)


# --- fitted ----------------------------------------------------------------------------------


def test_with_all_directions_kept_likeness_is_that_of_the_weighted_words() -> None:
    """The inner products of a full decomposition are those of TF-IDF itself."""
    encoder = fitted(TextConfig(dim=7, min_documents=1))
    words = TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)[a-z0-9][a-z0-9.+%/-]*"
    ).fit_transform(TEXTS)
    vectors = encoder.encode(TEXTS).astype(np.float64)
    likeness = (words @ words.T).toarray()
    # Eight texts span eight directions, of which seven are kept.
    assert np.abs(vectors @ vectors.T - likeness).max() < 0.35
    assert np.corrcoef((vectors @ vectors.T).ravel(), likeness.ravel())[0, 1] > 0.98


def test_like_statements_are_near_and_unlike_ones_far() -> None:
    one, same, other = fitted().encode([TEXTS[2], TEXTS[3], TEXTS[6]])

    def cosine(left: np.ndarray, right: np.ndarray) -> float:
        return float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))

    assert cosine(one, same) > cosine(one, other) + 0.3


def test_words_and_numbers_of_one_character_count() -> None:
    encoder = fitted(texts=["grade 1", "grade 2", "grade 3", "stage x", "stage 2"])
    one, other = encoder.encode(["grade 1", "grade 3"])
    assert np.abs(one - other).max() > 0.1


def test_case_and_accents_do_not_matter() -> None:
    encoder = fitted(texts=["Tumour size", "tumeur étendue", "naive tumour", "size étendue"])
    np.testing.assert_array_equal(encoder.encode(["TUMOUR ÉTENDUE"]), encoder.encode(["tumour etendue"]))


def test_a_text_without_a_known_word_is_a_zero_vector() -> None:
    assert not fitted().encode(["", "zebra xylophone", "   "]).any()


def test_no_texts_have_no_vectors() -> None:
    assert fitted().encode([]).shape == (0, 4)


def test_a_restored_encoder_gives_the_same_bytes() -> None:
    encoder = fitted()
    again = stored(encoder)
    assert again.identity == encoder.identity
    assert again.dim == encoder.dim == 4
    np.testing.assert_array_equal(again.encode([*TEXTS, "grade"]), encoder.encode([*TEXTS, "grade"]))


def test_fitting_twice_gives_the_same_bytes() -> None:
    one, other = fitted(), fitted()
    assert one.identity == other.identity
    np.testing.assert_array_equal(one.encode(TEXTS), other.encode(TEXTS))


def test_another_text_in_training_is_another_encoder() -> None:
    assert fitted(texts=[*TEXTS, "Margins: negative"]).identity != fitted().identity


def test_each_text_is_encoded_by_itself() -> None:
    encoder = fitted()
    together = encoder.encode(TEXTS)
    for place, text in enumerate(TEXTS):
        np.testing.assert_array_equal(encoder.encode([text])[0], together[place])


def test_a_word_counts_if_enough_training_texts_have_it() -> None:
    encoder = fitted(TextConfig(dim=4, min_documents=2), [*TEXTS, "unheard word"])
    assert not encoder.encode(["unheard"]).any()
    assert encoder.encode(["necrosis"]).any()


def test_there_are_no_more_directions_than_texts_allow() -> None:
    assert fitted(TextConfig(dim=64, min_documents=1), TEXTS[:3]).dim == 2
    assert fitted(TextConfig(dim=64, min_documents=1), TEXTS[:1]).dim == 1


def test_texts_that_share_no_word_are_refused() -> None:
    with pytest.raises(InputError, match="the 2 training texts share no words"):
        fitted(TextConfig(min_documents=2), ["one", "other"])


def test_an_unknown_encoder_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="no text encoder is called 'tfidf_svd'; did you mean 'tfidf-svd'"):
        fit_encoder(TextConfig(encoder="tfidf_svd"), TEXTS)


def test_encoders_that_learn_nothing_are_known_by_name() -> None:
    assert set(TEXT_ENCODERS) >= {"tfidf-svd", "transformers"}
    assert {"transformers"} == PRETRAINED


# --- pretrained ------------------------------------------------------------------------------


WORDS = ["tumour", "grade", "high", "low", "necrosis", "present", "absent", "node", "of", "1", "2", "3"]
HIDDEN, WINDOW = 8, 10


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a connection fails the test."""

    def refuse(*_: object) -> None:
        pytest.fail("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def make_model(folder: Path, seed: int = 0, *, class_token: bool | None = None) -> Path:
    """A BERT of 8 numbers a word and a window of 10 tokens, with random weights."""
    transformers = pytest.importorskip(
        "transformers", reason="transformers, an optional part, is not installed"
    )
    vocabulary = {
        word: place for place, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])
    }
    transformers.BertTokenizerFast(vocab=vocabulary, model_max_length=WINDOW).save_pretrained(folder)
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=HIDDEN,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=WINDOW,
        initializer_range=0.5,
    )
    transformers.BertModel(config).save_pretrained(folder)
    if class_token is not None:
        (folder / "1_Pooling").mkdir()
        pooling = {"pooling_mode_cls_token": class_token, "pooling_mode_mean_tokens": not class_token}
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


def pretrained(folder: Path, **settings: object) -> TextEncoder:
    return fit_encoder(TextConfig(encoder="transformers", model=str(folder), **settings), [])


def by_hand(folder: Path, ids: list[int], *, class_token: bool = False) -> np.ndarray:
    """The vector of one piece: [CLS] ids [SEP] through the model, averaged over all of them."""
    from transformers import BertModel

    with torch.no_grad():
        hidden = BertModel.from_pretrained(folder).eval()(torch.tensor([[2, *ids, 3]])).last_hidden_state[0]
    vector: np.ndarray = (hidden[0] if class_token else hidden.mean(dim=0)).double().numpy()
    return vector


def ids_of(text: str) -> list[int]:
    return [5 + WORDS.index(word) for word in text.split()]


def test_a_short_text_is_the_mean_of_its_tokens(model: Path) -> None:
    encoder = pretrained(model)
    assert encoder.dim == HIDDEN
    found = encoder.encode(["tumour grade 3"])
    np.testing.assert_allclose(found[0], by_hand(model, ids_of("tumour grade 3")), atol=1e-6)


def test_a_text_beyond_the_window_is_pieces_that_overlap_averaged_by_their_length(model: Path) -> None:
    # The window of 10 leaves 8 words beside [CLS] and [SEP]; pieces overlap by a quarter of them, 2.
    words = [WORDS[k % len(WORDS)] for k in range(19)]
    ids = ids_of(" ".join(words))
    pieces = [ids[0:8], ids[6:14], ids[12:19]]
    expected = sum(len(piece) * by_hand(model, piece) for piece in pieces) / sum(map(len, pieces))
    np.testing.assert_allclose(pretrained(model).encode([" ".join(words)])[0], expected, atol=1e-6)


@pytest.mark.parametrize("count", [7, 8, 9, 13, 14, 15, 20, 21])
def test_every_word_is_in_a_piece_and_no_piece_is_a_mere_repeat(model: Path, count: int) -> None:
    """Whatever the length, changing any one word changes the vector; nothing is cut off."""
    encoder = pretrained(model)
    words = ["tumour"] * count
    texts = [" ".join(words)] + [" ".join([*words[:k], "necrosis", *words[k + 1 :]]) for k in range(count)]
    vectors = encoder.encode(texts)
    assert (np.abs(vectors[1:] - vectors[0]).max(axis=1) > 1e-4).all()


def test_a_narrower_window_can_be_asked_for(model: Path) -> None:
    text = "tumour grade high necrosis present node of 1"
    ids = ids_of(text)
    # A window of 8 leaves 6 words, overlapping by 1.
    pieces = [ids[0:6], ids[5:8]]
    expected = sum(len(piece) * by_hand(model, piece) for piece in pieces) / 9
    np.testing.assert_allclose(pretrained(model, max_tokens=8).encode([text])[0], expected, atol=1e-6)


def test_a_wider_window_than_the_model_has_is_refused(model: Path) -> None:
    with pytest.raises(UsageError, match=r"text\.max_tokens is 600, but the text model .* takes at most 10"):
        pretrained(model, max_tokens=600)
    with pytest.raises(ValidationError, match="max_tokens"):
        TextConfig(max_tokens=2)


@pytest.mark.parametrize("batch", [1, 2, 32])
def test_how_many_pieces_are_encoded_at_once_does_not_matter(model: Path, batch: int) -> None:
    texts = ["tumour", "tumour grade 3 " * 7, "node 1", "", "necrosis absent of high grade", "node 1"]
    expected = np.stack([pretrained(model).encode([text])[0] for text in texts])
    np.testing.assert_allclose(pretrained(model, batch=batch).encode(texts), expected, atol=1e-6)


def test_an_empty_text_is_a_zero_vector(model: Path) -> None:
    encoder = pretrained(model)
    found = encoder.encode(["", "  \n", "tumour"])
    assert not found[:2].any()
    assert found[2].any()
    assert encoder.encode([]).shape == (0, HIDDEN)


@pytest.mark.parametrize("class_token", [True, False])
def test_a_sentence_transformers_folder_says_how_to_pool(tmp_path: Path, class_token: bool) -> None:
    folder = make_model(tmp_path, class_token=class_token)
    found = pretrained(folder).encode(["tumour grade 3"])[0]
    expected = by_hand(folder, ids_of("tumour grade 3"), class_token=class_token)
    other = by_hand(folder, ids_of("tumour grade 3"), class_token=not class_token)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(expected - other).max() > 1e-2


def test_vectors_made_before_are_used_as_they_are(model: Path) -> None:
    known = {"tumour": np.full(HIDDEN, 7.0, dtype=np.float32)}
    encoder = fit_encoder(TextConfig(encoder="transformers", model=str(model)), [], known)
    found = encoder.encode(["tumour", "node"])
    assert (found[0] == 7).all()
    np.testing.assert_array_equal(found[1], pretrained(model).encode(["node"])[0])


def test_training_texts_teach_a_pretrained_model_nothing(model: Path) -> None:
    config = TextConfig(encoder="transformers", model=str(model))
    one, other = fit_encoder(config, ["tumour"]), fit_encoder(config, TEXTS)
    assert one.identity == other.identity
    np.testing.assert_array_equal(one.encode(["grade 1"]), other.encode(["grade 1"]))


def test_a_restored_pretrained_encoder_is_the_same(model: Path) -> None:
    encoder = pretrained(model, max_tokens=9, batch=3)
    again = stored(encoder)
    assert again.identity == encoder.identity
    text = "tumour grade high necrosis present node of 1 2 3"
    np.testing.assert_array_equal(again.encode([text]), encoder.encode([text]))


def test_other_weights_under_the_same_name_are_noticed(tmp_path: Path) -> None:
    about, arrays = pretrained(make_model(tmp_path / "m", seed=0)).state()
    make_model(tmp_path / "m", seed=1)
    with pytest.raises(InputError, match=r"is not the one this run was trained with\. Restore its weights"):
        restore_encoder(about, arrays)


def test_pooling_and_window_are_part_of_the_identity(model: Path, tmp_path: Path) -> None:
    identities = {
        pretrained(model).identity,
        pretrained(model, max_tokens=9).identity,
        pretrained(make_model(tmp_path, class_token=True)).identity,
    }
    assert len(identities) == 3


def test_a_folder_without_a_model_says_what_to_do(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers, an optional part, is not installed")
    with pytest.raises(
        ServiceError, match=r"could not be loaded: .* Give the path of a folder that holds it"
    ) as told:
        pretrained(tmp_path / "nowhere")
    assert "nowhere" in str(told.value)
    assert told.value.exit_code == 5


def test_a_name_that_is_not_here_is_not_looked_for_elsewhere_when_offline() -> None:
    pytest.importorskip("transformers", reason="transformers, an optional part, is not installed")
    with pytest.raises(ServiceError, match=r"the text model 'nobody/no-model' could not be loaded"):
        fit_encoder(TextConfig(encoder="transformers", model="nobody/no-model"), [])


def test_pretrained_without_a_model_says_which_setting_names_it() -> None:
    with pytest.raises(UsageError, match=r"name the model in text\.model"):
        fit_encoder(TextConfig(encoder="transformers"), [])
