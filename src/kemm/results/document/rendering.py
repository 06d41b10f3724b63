"""From a package's templates, stylesheet and script to one HTML file that loads nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any, Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, PrefixLoader, StrictUndefined
from markupsafe import Markup

from kemm.results.document import numbers

SHARED: Final = "kemm.results.document"
STYLE: Final = "style.css"
SCRIPT: Final = "script.js"


def render_document(
    package: str,
    template: str,
    *,
    filters: Mapping[str, Callable[..., object]] | None = None,
    everywhere: Mapping[str, object] | None = None,
    pictures: bool = False,
    **context: Any,
) -> str:
    """The page that `template` of `package` makes; the same context gives the same bytes.

    Every text is escaped. Macros see of the context only what is given as `everywhere`. The package
    brings a `style.css`, which follows the shared one, and may bring a
    `script.js`; the page's policy allows these two, with `pictures` also those within the page, and nothing else.
    """
    style = f"{_text(SHARED, 'base.css')}\n{_text(package, STYLE)}"
    script = _text(package, SCRIPT) if resources.files(package).joinpath(SCRIPT).is_file() else ""
    environment = Environment(
        autoescape=True,
        loader=ChoiceLoader([PackageLoader(package), PrefixLoader({"document": PackageLoader(SHARED)})]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": numbers.count,
        "decimal": numbers.decimal,
        "duration": numbers.duration,
        "memory": numbers.memory,
        "month_number": numbers.month_number,
        "months": numbers.months,
        "p": numbers.p_value,
        "percent": numbers.percent,
        "signed": numbers.signed,
    }
    environment.filters |= filters or {}
    environment.globals |= {"plural": numbers.plural, **(everywhere or {})}
    return environment.get_template(template).render(
        style=Markup(style), script=Markup(script), policy=_policy(style, script, pictures), **context
    )


def _text(package: str, name: str) -> str:
    return resources.files(package).joinpath(name).read_text(encoding="utf-8").strip()


def _policy(style: str, script: str, pictures: bool) -> str:
    """This stylesheet, this script if there is one, and nothing else: no image from elsewhere, no style attribute, no network."""
    parts = ["default-src 'none'", f"style-src '{_digest(style)}'"]
    if script:
        parts.append(f"script-src '{_digest(script)}'")
    if pictures:
        parts.append("img-src data:")
    return "; ".join([*parts, "base-uri 'none'", "form-action 'none'"])


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
