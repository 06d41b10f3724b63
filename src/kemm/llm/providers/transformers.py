"""A language model in this process: from a folder or the hub, one question at a time, JSON by construction."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from kemm.core.errors import ServiceError, UsageError
from kemm.core.provenance import fingerprint
from kemm.llm.backend import BACKENDS, CUT_OFF, Answer, Backend, NotTaken, Question, sendable
from kemm.llm.settings import LLMConfig

if TYPE_CHECKING:
    from torch import Tensor

_COMPACT: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""How JSON is spaced: as models mostly write it, and never with blanks without end."""


class LocalModel:
    """A causal language model. Runs in a thread of its own, so that the event loop lives."""

    host = "in-process"

    def __init__(self, config: LLMConfig) -> None:
        try:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError as error:
            raise UsageError(
                "llm.backend: transformers needs the optional part: pip install 'kemm[llm-local]'"
            ) from error
        self._torch, self._config, self.model = torch, config, config.model
        self._tokenizer: Any
        self._model: Any
        where = {"local_files_only": config.local_files_only, "trust_remote_code": False}
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(config.model, **where)
            # Weights in any other format could run code when loaded.
            self._model = AutoModelForCausalLM.from_pretrained(
                config.model, **where, use_safetensors=True, dtype="auto"
            )
        except (OSError, ValueError) as error:
            raise _not_loaded(config, error) from error
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = self._model.to(self._device).eval()
        # Of a model that also sees or hears, the part that reads and writes.
        self._shape = self._model.config.get_text_config()
        weights = [parameter.sum(dtype=torch.float64).item() for parameter in self._model.parameters()]
        made_of = fingerprint(
            "transformers/1", self._tokenizer.get_vocab(), _template(self._tokenizer), weights
        )
        # Other weights behind the same name are another model.
        self._returned = f"{config.model}@{made_of}"
        self.identity = f"transformers/1/{made_of}"
        self._grammar = _Grammar(self._tokenizer, int(self._shape.vocab_size), self._ends())
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kemm-llm")

    def __repr__(self) -> str:
        return f"LocalModel({self._returned!r})"

    async def close(self) -> None:
        """End the thread."""
        await asyncio.get_running_loop().run_in_executor(None, self._thread.shutdown)

    async def ask(self, question: Question) -> Answer:
        """One answer. A cancelled question stops at its next token."""
        stop = threading.Event()
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, self._generate, question, stop
            )
        except asyncio.CancelledError:
            stop.set()
            raise

    def _generate(self, question: Question, stop: threading.Event) -> Answer:
        torch, config = self._torch, self._config
        started = time.monotonic()
        ids = self._tokens(question)
        limit = question.max_tokens or config.max_tokens
        self._refuse_too_long(ids.shape[1], limit)

        def ended(*_: object, **__: object) -> Tensor:
            late = time.monotonic() - started > config.timeout_s
            answer: Tensor = torch.tensor([late or stop.is_set()], device=self._device)
            return answer

        way: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        if config.temperature:
            way = {"do_sample": True, "temperature": config.temperature}
        constrained = question.schema is not None and config.structured != "text"
        if constrained:
            assert question.schema is not None
            way["logits_processor"] = [self._grammar.follow(question.schema)]
        devices = [torch.cuda.current_device()] if self._device == "cuda" else []
        with torch.inference_mode(), torch.random.fork_rng(devices=devices):
            torch.manual_seed(config.seed or 0)
            out = self._model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=limit,
                stopping_criteria=[ended],
                eos_token_id=self._ends(),
                pad_token_id=self._pad(),
                # Some models punish what was said before: a quote would not come out verbatim.
                repetition_penalty=1.0,
                **way,
            )[0, ids.shape[1] :].tolist()
        whole = bool(out) and out[-1] in self._ends()
        seconds = time.monotonic() - started
        if not whole and seconds > config.timeout_s:
            raise NotTaken(
                f"the model {self.model!r} was not done with an answer after {config.timeout_s:g} s and {len(out)} tokens. "
                "Raise llm.timeout_s, lower llm.max_tokens, or use a smaller model.",
                outcome="timeout",
            )
        return Answer(
            text=self._tokenizer.decode(out[:-1] if whole else out, skip_special_tokens=True),
            model=self._returned,
            finish_reason="stop" if whole else CUT_OFF,
            tokens_in=int(ids.shape[1]),
            tokens_out=len(out),
            seconds=seconds,
            mode="json_schema" if constrained else "text",
        )

    def _tokens(self, question: Question) -> Tensor:
        ids: Tensor
        turns = [{"role": turn.role, "content": sendable(turn.content)} for turn in question.messages]
        if _template(self._tokenizer) is None:
            # A model that was not trained to converse continues a text.
            text = "\n\n".join([*(turn["content"] for turn in turns), "Answer:\n"])
            ids = self._tokenizer(text, return_tensors="pt")["input_ids"]
        else:
            text = self._templated(turns)
            # The template has written the special tokens already.
            ids = self._tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
        return ids.to(self._device)

    def _templated(self, turns: list[dict[str, str]]) -> str:
        from jinja2 import TemplateError

        def write(these: list[dict[str, str]]) -> str:
            return str(self._tokenizer.apply_chat_template(these, tokenize=False, add_generation_prompt=True))

        try:
            return write(turns)
        except TemplateError:
            # Some models know no system: its words go first in the user's.
            said = "\n\n".join(turn["content"] for turn in turns if turn["role"] == "system")
            rest = [dict(turn) for turn in turns if turn["role"] != "system"]
            if not said or not rest:
                raise
            rest[0]["content"] = f"{said}\n\n{rest[0]['content']}"
            return write(rest)

    def _refuse_too_long(self, tokens: int, limit: int) -> None:
        room = getattr(self._shape, "max_position_embeddings", None)
        if room is not None and tokens + limit > room:
            raise NotTaken(
                f"a question of {tokens} tokens and an answer of up to {limit} do not fit into the {room} tokens of the "
                f"model {self.model!r}. Lower llm.max_tokens, or use a model with a longer context.",
                outcome="too long",
            )

    def _ends(self) -> list[int]:
        told = self._model.generation_config.eos_token_id
        ends = {*(told if isinstance(told, list) else [told]), self._tokenizer.eos_token_id} - {None}
        return sorted(ends)

    def _pad(self) -> int | None:
        pad = self._tokenizer.pad_token_id
        return int(pad if pad is not None else self._tokenizer.eos_token_id or 0)


class _Grammar:
    """Leaves a model only the tokens that a schema allows next."""

    def __init__(self, tokenizer: Any, vocabulary: int, ends: list[int]) -> None:
        self._tokenizer, self._vocabulary, self._ends = tokenizer, vocabulary, ends
        self._known: Any = None

    def follow(self, schema: Mapping[str, Any]) -> _Follow:
        """For one answer."""
        try:
            from llguidance import LLMatcher
            from llguidance.hf import from_tokenizer
        except ImportError as error:
            raise UsageError(
                "llm.backend: transformers needs the optional part for JSON: pip install 'kemm[llm-local]', "
                "or set llm.structured to text"
            ) from error
        if self._known is None:
            try:
                self._known = from_tokenizer(
                    self._tokenizer, n_vocab=self._vocabulary, eos_token=self._ends or None
                )
            except ValueError as error:
                raise UsageError(
                    f"the model's tokenizer cannot be held to a grammar ({error}). Use another model, "
                    "or set llm.structured to text."
                ) from error
        grammar = LLMatcher.grammar_from_json_schema(dict(schema), overrides=_COMPACT)
        matcher = LLMatcher(self._known, grammar, log_level=0)
        if matcher.is_error():
            raise NotTaken(
                f"the schema of the answer cannot be turned into a grammar: {matcher.get_error().splitlines()[0]}. "
                "Simplify it, or set llm.structured to text.",
                outcome="schema",
            )
        return _Follow(matcher)


class _Follow:
    """A logits processor: one answer's way through a grammar."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher
        self._begun = False

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(1, token) so far and (1, vocabulary) of what may follow; what may not is minus infinity."""
        import torch

        if self._begun:
            self._matcher.consume_token(int(input_ids[0, -1]))
        self._begun = True
        if self._matcher.is_error():
            raise NotTaken(
                f"the grammar of an answer failed: {self._matcher.get_error().splitlines()[0]}. "
                "Simplify its schema, or set llm.structured to text.",
                outcome="schema",
            )
        allowed = torch.frombuffer(bytearray(self._matcher.compute_logit_bias()), dtype=torch.uint8)
        forbidden = (allowed == 0).to(scores.device)
        masked = scores.clone()
        masked[:, : len(forbidden)].masked_fill_(forbidden, float("-inf"))
        masked[:, len(forbidden) :] = float("-inf")
        return masked


def _template(tokenizer: Any) -> Any:
    return getattr(tokenizer, "chat_template", None)


def _not_loaded(config: LLMConfig, error: Exception) -> ServiceError:
    remedy = (
        f"Download it first (`hf download {config.model}`), give the path of its folder, or set llm.local_files_only to false."
        if config.local_files_only
        else "Give the path of a folder that holds it; for a gated model run `hf auth login` first."
    )
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ServiceError(f"the language model {config.model!r} could not be loaded: {reason} {remedy}")


@BACKENDS.register("transformers")
def local_model(config: LLMConfig) -> Backend:
    """A model from a folder or the hub."""
    return LocalModel(config)
