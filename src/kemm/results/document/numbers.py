"""Numbers as a person reads them: fixed decimals, true minus signs, no false precision."""

from __future__ import annotations

from typing import Final

MINUS: Final = "\N{MINUS SIGN}"


def decimal(value: float, places: int = 3) -> str:
    """`value` with `places` decimals; what rounds to zero has no sign."""
    text = f"{value:.{places}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def signed(value: float, places: int = 3) -> str:
    """As `decimal`, with + before what is above zero."""
    text = decimal(value, places)
    return text if text.startswith(MINUS) or float(text) == 0 else f"+{text}"


def count(value: int) -> str:
    """A whole number, thousands set apart: 1,078."""
    return f"{value:,}".replace("-", MINUS)


def percent(share: float) -> str:
    """A share from 0 to 1 as whole per cent; only nothing is 0% and only all is 100%."""
    if 0 < share < 0.005:
        return "<1%"
    if 0.995 < share < 1:
        return ">99%"
    return f"{decimal(100 * share, 0)}%"


def p_value(p: float) -> str:
    """ "p = 0.012"; below a thousandth, "p < 0.001"."""
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def months(value: float) -> str:
    """A time in months, with its unit: "23.4 months", "24 months"."""
    return f"{month_number(value)} months"


def month_number(value: float) -> str:
    """A time in months without its unit; whole months without a decimal."""
    return decimal(value, 0 if value == round(value) else 1)


def duration(seconds: float) -> str:
    """Wall time: "0.4 s", "12 s", "3 min 5 s", "2 h 10 min"."""
    if seconds < 10:
        return f"{decimal(seconds, 1)} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def memory(size: float) -> str:
    """Bytes: "12 MB", "1.2 GB"."""
    if size < 0.95e9:
        return f"{max(1, round(size / 1e6))} MB"
    return f"{decimal(size / 1e9, 1 if size < 9.95e9 else 0)} GB"


def plural(number: int, one: str, many: str | None = None) -> str:
    """ "1 fold", "5 folds"."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"
