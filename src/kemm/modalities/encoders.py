"""Text encoders: from statements to vectors. One is fitted offline, others are pretrained, by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from kemm.core.errors import InputError, ServiceError, UsageError
from kemm.core.provenance import fingerprint
from kemm.core.registry import Registry
from kemm.core.settings import Section


class TextConfig(Section):
    """How statements become vectors."""

    encoder: str = "tfidf-svd"
    """"tfidf-svd" (fitted on the training part of each fold, no download) or "transformers" (pretrained, see `model`)."""
    dim: int = Field(64, ge=2)
    """Width of a fitted encoder's vectors: singular vectors kept."""
    min_documents: int = Field(3, ge=1)
    """A word or word pair counts if this many training texts have it."""
    max_terms: int = Field(20_000, ge=10)
    """Most frequent words and word pairs kept."""
    model: str | None = None
    """For "transformers": a Hugging Face or sentence-transformers model by name, or the path of its folder."""
    max_tokens: int | None = Field(None, ge=8)
    """Window of a pretrained model; longer texts are encoded in overlapping pieces. Default: the model's own."""
    batch: int = Field(32, ge=1)
    """Pieces encoded at once by a pretrained model."""


class TextEncoder(Protocol):
    """Texts in, vectors out. Knows nothing of patients."""

    @property
    def identity(self) -> str:
        """Changes whenever the vectors would."""
        ...

    @property
    def dim(self) -> int:
        """Width of a vector."""
        ...

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(text, dim); an empty text is a zero vector."""
        ...

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What `restore_encoder` needs: JSON and arrays."""
        ...


Known = Mapping[str, NDArray[np.float32]]
"""Vectors by text, made before by the same pretrained encoder."""
Fit = Callable[[TextConfig, Sequence[str], Known], TextEncoder]
TEXT_ENCODERS: Registry[Fit] = Registry("text encoder")
"""Each makes an encoder from settings and the texts of the training part (which a pretrained one ignores)."""
PRETRAINED: set[str] = set()
"""Names of those that learn nothing from texts, so that a text's vector can be made once and kept."""

_RESTORERS: dict[str, Callable[[dict[str, Any], Mapping[str, NDArray[Any]]], TextEncoder]] = {}


def fit_encoder(config: TextConfig, training_texts: Sequence[str], known: Known | None = None) -> TextEncoder:
    """The encoder a study asks for. Only texts of training cases may be given."""
    return TEXT_ENCODERS[config.encoder](config, training_texts, known or {})


def restore_encoder(about: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> TextEncoder:
    """The encoder whose `state` this is."""
    return _RESTORERS[about["encoder"]](about, arrays)


class TfidfSvd:
    """Weights of words and word pairs, reduced to the directions in which training texts differ most.

    Latent semantic analysis: sublinear term frequency times inverse document frequency, unit
    length, truncated singular value decomposition. Deerwester et al. (1990), JASIS 41.
    """

    def __init__(
        self, terms: Mapping[str, int], weights: NDArray[np.float64], components: NDArray[np.float64]
    ) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.terms, self.weights, self.components = dict(terms), weights, components
        self._vectorizer = TfidfVectorizer(vocabulary=self.terms, **_ANALYSIS)
        self._vectorizer.idf_ = weights
        self.identity = fingerprint(
            "tfidf-svd/1", sorted(self.terms), weights.tobytes(), components.tobytes()
        )

    @property
    def dim(self) -> int:
        """Singular vectors kept."""
        return int(self.components.shape[0])

    @classmethod
    def fit(cls, config: TextConfig, texts: Sequence[str]) -> TfidfSvd:
        """Fit on training texts.

        Raises:
            InputError: They have no word in common.
        """
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(min_df=config.min_documents, max_features=config.max_terms, **_ANALYSIS)
        try:
            matrix = vectorizer.fit_transform(texts)
        except ValueError as error:
            raise InputError(
                f"the {len(texts)} training texts share no words ({error}). Are they reports in plain text?"
            ) from error
        terms, weights = dict(vectorizer.vocabulary_), np.asarray(vectorizer.idf_)
        dim = min(config.dim, min(matrix.shape) - 1)
        if dim < 1:
            components = np.eye(1, matrix.shape[1])
        else:
            components = (
                TruncatedSVD(dim, algorithm="randomized", n_iter=7, random_state=0).fit(matrix).components_
            )
        return cls({term: int(column) for term, column in terms.items()}, weights, np.asarray(components))

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(text, dim); a text without a known word is a zero vector."""
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        matrix = self._vectorizer.transform(texts)
        return np.asarray(matrix @ self.components.T, dtype=np.float32)

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """The vocabulary, and the arrays."""
        ordered = sorted(self.terms, key=self.terms.__getitem__)
        return {"encoder": "tfidf-svd", "terms": ordered}, {
            "weights": self.weights,
            "components": self.components,
        }


_ANALYSIS: dict[str, Any] = {
    "ngram_range": (1, 2),
    "sublinear_tf": True,
    "lowercase": True,
    # Words and numbers of one character matter here: "grade 2", "T 3".
    "token_pattern": r"(?u)[a-z0-9][a-z0-9.+%/-]*",
    "strip_accents": "unicode",
}


@TEXT_ENCODERS.register("tfidf-svd")
def tfidf_svd(config: TextConfig, training_texts: Sequence[str], known: Known) -> TextEncoder:
    """Fitted on the training texts, so nothing is known beforehand."""
    return TfidfSvd.fit(config, training_texts)


_RESTORERS["tfidf-svd"] = lambda about, arrays: TfidfSvd(
    {term: column for column, term in enumerate(about["terms"])}, arrays["weights"], arrays["components"]
)


class Pretrained:
    """A transformer from the Hugging Face hub or a folder; mean (or class-token) pooling.

    A sentence-transformers folder says itself how to pool (1_Pooling/config.json). A text longer
    than the window is encoded in pieces that overlap by a quarter, averaged by their length.
    """

    def __init__(self, model: str, *, max_tokens: int | None, batch: int, known: Known | None = None) -> None:
        try:
            import torch
            from transformers import AutoModel, AutoTokenizer
        except ImportError as error:
            raise UsageError(
                "text.encoder: transformers needs the optional part: pip install 'kemm[text]'"
            ) from error
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(model)
            self._model = AutoModel.from_pretrained(model).eval()
        except (OSError, ValueError) as error:
            raise ServiceError(
                f"the text model {model!r} could not be loaded: {str(error).splitlines()[0]} "
                "Give the path of a folder that holds it; for a gated model run `hf auth login` first."
            ) from error
        self._torch = torch
        self.model, self.batch, self.known = model, batch, dict(known or {})
        # Some tokenizers declare an absurd window (1e30) where they have none of their own.
        positions = getattr(self._model.config, "max_position_embeddings", None)
        if max_tokens is not None and positions is not None and max_tokens > positions:
            raise UsageError(
                f"text.max_tokens is {max_tokens}, but the text model {model!r} takes at most {positions}. "
                "Lower it, or leave it out."
            )
        self.max_tokens = max_tokens or min(int(self._tokenizer.model_max_length), int(positions or 512))
        self._before, self._after = self._special_tokens()
        self._class_token = _pools_class_token(model)
        weights = [parameter.detach().double().sum().item() for parameter in self._model.parameters()]
        self.identity = fingerprint("transformers/1", model, self.max_tokens, self._class_token, weights)

    @property
    def dim(self) -> int:
        """The model's hidden width."""
        return int(self._model.config.hidden_size)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(text, dim); an empty text is a zero vector."""
        new = list(dict.fromkeys(text for text in texts if text not in self.known))
        if new:
            self.known.update(zip(new, self._encode_new(new), strict=True))
        return (
            np.stack([self.known[text] for text in texts]) if texts else np.zeros((0, self.dim), np.float32)
        )

    def _encode_new(self, texts: Sequence[str]) -> NDArray[np.float32]:
        total = np.zeros((len(texts), self.dim), dtype=np.float64)
        weight = np.zeros(len(texts))
        # Pieces of like length together: padding is the waste of a batch.
        pieces = sorted(self._pieces(texts), key=lambda piece: len(piece[1]))
        for start in range(0, len(pieces), self.batch):
            some = pieces[start : start + self.batch]
            vectors = self._encode_pieces([ids for _, ids in some])
            for (text, ids), vector in zip(some, vectors, strict=True):
                total[text] += len(ids) * vector
                weight[text] += len(ids)
        return (total / np.maximum(weight, 1)[:, None]).astype(np.float32)

    def _pieces(self, texts: Sequence[str]) -> list[tuple[int, list[int]]]:
        room = self.max_tokens - len(self._before) - len(self._after)
        step = max(1, room - room // 4)
        pieces = []
        for index, text in enumerate(texts):
            if not text.strip():
                continue
            ids = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
            last = max(len(ids) - room // 4, 1)
            pieces += [(index, list(ids[start : start + room])) for start in range(0, last, step)]
        return pieces

    def _special_tokens(self) -> tuple[list[int], list[int]]:
        """What the tokenizer puts before and after a text. Tokenizers agree on no name for this."""
        bare = list(self._tokenizer("a", add_special_tokens=False)["input_ids"])
        framed = list(self._tokenizer("a")["input_ids"])
        start = next(at for at in range(len(framed)) if framed[at : at + len(bare)] == bare)
        return framed[:start], framed[start + len(bare) :]

    def _encode_pieces(self, pieces: list[list[int]]) -> NDArray[np.float64]:
        torch = self._torch
        framed = [[*self._before, *ids, *self._after] for ids in pieces]
        longest = max(map(len, framed))
        padding = self._tokenizer.pad_token_id or 0
        ids = torch.tensor([row + [padding] * (longest - len(row)) for row in framed])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in framed])
        with torch.inference_mode():
            hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
        if self._class_token:
            pooled = hidden[:, 0]
        else:
            pooled = (hidden * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        vectors: NDArray[np.float64] = pooled.double().numpy()
        return vectors

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Where the model is; its weights stay where they are."""
        about = {
            "encoder": "transformers",
            "model": self.model,
            "max_tokens": self.max_tokens,
            "batch": self.batch,
            "identity": self.identity,
        }
        return about, {}


def _pools_class_token(model: str) -> bool:
    """What a sentence-transformers model says, in a folder or on the hub; others have no such file."""
    from transformers.utils.hub import cached_file

    pooling = cached_file(
        model,
        "1_Pooling/config.json",
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        _raise_exceptions_for_gated_repo=False,
    )
    return pooling is not None and bool(
        json.loads(Path(pooling).read_text(encoding="utf-8")).get("pooling_mode_cls_token")
    )


PRETRAINED.add("transformers")


@TEXT_ENCODERS.register("transformers")
def pretrained(config: TextConfig, training_texts: Sequence[str], known: Known) -> TextEncoder:
    """A pretrained transformer; there is nothing to fit."""
    if config.model is None:
        raise UsageError(
            "text.encoder is transformers: name the model in text.model (a hub name or a folder)."
        )
    return Pretrained(config.model, max_tokens=config.max_tokens, batch=config.batch, known=known)


def _restore_pretrained(about: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> TextEncoder:
    encoder = Pretrained(about["model"], max_tokens=about["max_tokens"], batch=about["batch"])
    if encoder.identity != about["identity"]:
        raise InputError(
            f"the text model {about['model']!r} is not the one this run was trained with. "
            "Restore its weights, or train again."
        )
    return encoder


_RESTORERS["transformers"] = _restore_pretrained
