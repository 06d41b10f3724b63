"""Names that no pattern describes, found by a trained model of one's choice and masked before anything else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from kemm.core.errors import ServiceError, UsageError
from kemm.core.provenance import fingerprint
from kemm.modalities.reports.deidentify import MASK

LABELS = (
    "PER", "PERSON", "PATIENT", "STAFF", "DOCTOR", "HOSP", "HOSPITAL", "LOC", "LOCATION", "ID", "PHONE", "DATE",
)  # fmt: skip
"""What common models call persons, places and numbers of records; organisations are left, for tests are named by them."""
_EPONYMS = re.compile(
    r"fu[hr]{1,2}man|gleason|nottingham|breslow|clark|bloom|richardson|scarff|elston|ellis|masson|gerota|lauren|barrett"
    r"|masaoka|weiss|crohn|paget|warthin|h[uü]rthle|hodgkin|ewing|kaposi|wilms|merkel|krukenberg|cloquet|kras|figo|who",
    re.IGNORECASE,
)
"""Grades, stages and tumours are called by these; to a model of names they are persons."""
_WORD = re.compile(r"\w[\w'’-]*")
_OVERLAP = 64
_LONGEST_WINDOW = 512


class NameFinder:
    """A token classification model of the Hugging Face hub or in a folder, such as one for de-identification.

    Raises:
        UsageError: The optional part is missing, or the model has none of the labels.
        ServiceError: The model cannot be loaded.
    """

    def __init__(self, model: str, labels: Sequence[str] = LABELS) -> None:
        try:
            import torch
            from transformers import AutoModelForTokenClassification, AutoTokenizer
        except ImportError as error:
            raise UsageError(
                "reports.names_model needs the optional part: pip install 'kemm[text]'"
            ) from error
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(model)
            self._model = AutoModelForTokenClassification.from_pretrained(model).eval()
        except (OSError, ValueError) as error:
            raise ServiceError(
                f"the model of names {model!r} could not be loaded: {str(error).splitlines()[0]} "
                "Give the path of a folder that holds it; for a gated model run `hf auth login` first."
            ) from error
        self._torch = torch
        self.model, self.labels = model, tuple(labels)
        wanted = {label.upper() for label in labels}
        named = {int(index): label for index, label in self._model.config.id2label.items()}
        self._telling = {index for index, label in named.items() if _plain(label) in wanted}
        if not self._telling:
            raise UsageError(
                f"the model of names {model!r} has the labels {', '.join(sorted(named.values()))}, and none of "
                f"{', '.join(labels)}. Set reports.names_labels."
            )

    @cached_property
    def identity(self) -> str:
        """Changes with the weights and the labels."""
        weights = [parameter.detach().double().sum().item() for parameter in self._model.parameters()]
        return fingerprint("names/1", self.model, list(self.labels), weights)

    def hide(self, text: str) -> str:
        """The text, of the same length, with whole words that the model takes for names masked."""
        named = bytearray(len(text))
        for start, end in self._spans(text):
            named[start:end] = b"\x01" * (end - start)

        def hidden(word: re.Match[str]) -> str:
            # The whole word: a model may know its first syllable only.
            told = any(named[word.start() : word.end()]) and not _EPONYMS.search(word[0])
            return MASK * len(word[0]) if told else word[0]

        return _WORD.sub(hidden, text)

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        if not text.strip():
            return
        window = min(int(self._tokenizer.model_max_length), _LONGEST_WINDOW)
        pieces: dict[str, Any] = self._tokenizer(
            text,
            return_offsets_mapping=True,
            return_overflowing_tokens=True,
            truncation=True,
            max_length=window,
            stride=min(_OVERLAP, window // 4),
        )
        for ids, offsets in zip(pieces["input_ids"], pieces["offset_mapping"], strict=True):
            with self._torch.inference_mode():
                scores = self._model(input_ids=self._torch.tensor([ids])).logits[0]
            for label, (start, end) in zip(scores.argmax(dim=1).tolist(), offsets, strict=True):
                if label in self._telling and end > start:
                    yield start, end


def _plain(label: str) -> str:
    """ "B-PER" and "PER" are one."""
    return re.sub(r"^[BILSEU][-_]", "", label.upper())
