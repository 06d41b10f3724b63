"""Asks language models closed questions: privately, within a budget, and never twice for the same answer.

    settings ─► backend (a server, or a model in this process)
                   ▲
    questions ─► client ◄─► journal        structured: answers in JSON, checked, once sent back

Knows nothing of pathology.
"""

from kemm.llm.backend import BACKENDS, Answer, Backend, Busy, Message, NotTaken, Question
from kemm.llm.client import Client, Missing
from kemm.llm.estimate import Estimate, estimate
from kemm.llm.journal import Journal
from kemm.llm.privacy import require_allowed
from kemm.llm.providers import make_backend
from kemm.llm.settings import LLMConfig
from kemm.llm.spending import Progress
from kemm.llm.structured import (
    DATA_RULE,
    Structured,
    ask_all_structured,
    ask_structured,
    document_question,
    json_object,
)

__all__ = [
    "BACKENDS",
    "DATA_RULE",
    "Answer",
    "Backend",
    "Busy",
    "Client",
    "Estimate",
    "Journal",
    "LLMConfig",
    "Message",
    "Missing",
    "NotTaken",
    "Progress",
    "Question",
    "Structured",
    "ask_all_structured",
    "ask_structured",
    "document_question",
    "estimate",
    "json_object",
    "make_backend",
    "require_allowed",
]
