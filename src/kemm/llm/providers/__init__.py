"""Those that answer: a server, or a model in this process. Adding one is a module here that registers its maker."""

from kemm.llm.backend import BACKENDS, Backend
from kemm.llm.providers import openai, transformers
from kemm.llm.settings import LLMConfig

__all__ = ["make_backend", "openai", "transformers"]


def make_backend(config: LLMConfig) -> Backend:
    """The backend that the settings name.

    Raises:
        PolicyError: It would send texts to a host that is not permitted.
        UsageError: No such backend, or an optional part is missing.
    """
    return BACKENDS[config.backend](config)
