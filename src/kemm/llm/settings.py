"""Which language model is asked, how, and what it may cost."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from kemm.core.settings import Section

Structured = Literal["auto", "json_schema", "json_object", "text"]
"""How a server is asked for JSON, from the strictest to the plainest."""


class LLMConfig(Section):
    """The language model that is asked. Its key, if any, is read from the environment: KEMM_LLM_API_KEY, else OPENAI_API_KEY."""

    backend: str = "openai"
    """"openai" (any server that speaks its protocol: vLLM, Ollama, llama.cpp, Azure) or "transformers" (in this process)."""
    model: str = Field(min_length=1)
    """The model's name as the server knows it; for "transformers" a folder or a Hugging Face name."""
    base_url: str = "http://localhost:8000/v1"
    """Where the server is. Anything but this machine needs `allow_host`."""
    allow_host: str | None = None
    """The permission to send texts of patients to one other host: its exact name. With http:// they travel unencrypted."""
    allow_mixture: bool = False
    """Whether answers of different models may be used together, where a server changes its model behind one name."""
    offline: bool = False
    """Answer from the journal of earlier calls only, and name what is missing there."""
    structured: Structured = "auto"
    """How JSON is asked for; "auto" uses the strictest way that the server accepts."""
    temperature: float | None = Field(0.0, ge=0, le=2)
    """0 is the most repeatable. null leaves it to the server, for models that accept no other."""
    seed: int | None = None
    """Sent with each question, for servers that heed it."""
    max_tokens: int = Field(2048, ge=1)
    """Longest answer, in tokens."""
    concurrency: int = Field(8, ge=1, le=1024)
    """Questions under way at once."""
    timeout_s: float = Field(300.0, gt=0)
    """Seconds to wait for one answer."""
    retries: int = Field(5, ge=0)
    """How often a question is sent again after a failure that may pass: a busy server, a dropped connection."""
    budget: float | None = Field(None, gt=0)
    """Most money spent on this model, earlier runs in the same journal included; needs both prices."""
    price_in: float | None = Field(None, ge=0)
    """Price of a million tokens of questions, in the budget's currency."""
    price_out: float | None = Field(None, ge=0)
    """Price of a million tokens of answers."""
    most_calls: int | None = Field(None, ge=0)
    """Most calls sent in one run, to try a few first."""
    local_files_only: bool = True
    """For "transformers": use what is on this machine only. With false a missing model is downloaded."""

    @model_validator(mode="after")
    def _priced(self) -> Self:
        if self.budget is not None and (self.price_in is None or self.price_out is None):
            raise ValueError(
                "a budget needs price_in and price_out, the prices of a million tokens, to be counted in"
            )
        return self

    def money(self, tokens_in: float, tokens_out: float) -> float:
        """What tokens cost; 0 where no price is set."""
        return (tokens_in * (self.price_in or 0.0) + tokens_out * (self.price_out or 0.0)) / 1e6
