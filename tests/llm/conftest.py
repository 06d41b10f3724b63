"""What tests of language models share: an environment without keys or proxies, and patience that takes no time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import Pauses

from kemm.llm import Client, Journal, LLMConfig, make_backend


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "KEMM_LLM_API_KEY",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "OPENAI_ORG_ID",
        "OPENAI_CUSTOM_HEADERS",
        "OPENAI_ADMIN_KEY",
        "OPENAI_PROJECT_ID",
    ):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
def client_of(tmp_path: Path, pauses: Pauses) -> Iterator[Callable[..., Client]]:
    """A client of a server at `url`, with a journal of the test's own. Pauses take no time."""

    journals = []

    def make(url: str, *, path: Path | None = None, backend: Any = make_backend, **settings: Any) -> Client:
        config = LLMConfig(**{"model": "asked", "base_url": url, "timeout_s": 20, **settings})
        journal = Journal(path or tmp_path / "journal.sqlite")
        journals.append(journal)
        return Client(backend(config) if backend else None, journal, config, sleep=pauses, random=lambda: 1.0)

    yield make
    for journal in journals:
        journal.close()
