"""Nothing leaves the machine by default: where questions may go, and the key that nobody sees."""

from __future__ import annotations

import ipaddress
import os
import re
from urllib.parse import urlsplit

from kemm.core.errors import PolicyError, UsageError

KEY_VARIABLES = ("KEMM_LLM_API_KEY", "OPENAI_API_KEY")
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


class Key:
    """A secret: shown nowhere but to who asks for its `value`."""

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    @property
    def value(self) -> str:
        """The secret."""
        return self.__value

    def hide(self, text: str) -> str:
        """`text` without the secret."""
        return text.replace(self.__value, "***") if len(self.__value) > 4 else text

    def __repr__(self) -> str:
        return "Key(***)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a key is not written down")


def host_of(base_url: str) -> str:
    """The host that an address names, in lower case.

    Raises:
        UsageError: Not a plain http(s) address. A password in it is not repeated.
    """
    # Two parsers may disagree on where the host ends in anything stranger than this.
    if re.search(r"[\s\\\x00-\x1f\x7f]", base_url) or not base_url.isascii():
        raise UsageError("llm.base_url holds a blank, a backslash or a letter beyond ASCII. " + _REMEDY)
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"llm.base_url is no address ({error}). " + _REMEDY) from None
    if "@" in parts.netloc:
        raise UsageError(
            "llm.base_url holds a user name or password. Take it out: secrets are read from the environment only "
            f"({KEY_VARIABLES[0]})."
        )
    if parts.query or parts.fragment:
        raise UsageError("llm.base_url holds a ? or a #. " + _REMEDY)
    if parts.scheme not in ("http", "https") or not host or not _is_host(host):
        raise UsageError(f"llm.base_url is {base_url!r}, which is no address of a server. " + _REMEDY)
    return host


_REMEDY = "Write it as http://localhost:8000/v1."


def place_of(base_url: str) -> str:
    """Host and port, as far as the address names one: what the journal calls a host."""
    host, port = host_of(base_url), urlsplit(base_url).port
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{port}" if port else shown


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its very name. A name that only resolves to it may resolve elsewhere tomorrow."""
    address = _address(host)
    if address is None:
        return host.lower() == "localhost"
    return any(address in network for network in _LOOPBACK)


def require_allowed(base_url: str, allow_host: str | None) -> None:
    """Raise `PolicyError` unless the address is this machine, or the one host that is permitted by name."""
    host = host_of(base_url)
    if is_loopback(host):
        return
    if allow_host is not None and _same(host, allow_host.strip().lower()):
        return
    other = f" (it is {allow_host!r} now)" if allow_host is not None else ""
    raise PolicyError(
        f"llm.base_url points to {host}, which is not this machine: texts of patients would leave it. "
        f"If that is permitted, set `allow_host: {host}` in the section llm{other}; "
        "look first at what would be sent, by an estimate, which sends nothing."
    )


def api_key(base_url: str) -> Key:
    """The key from the environment; "none" for a server on this machine that needs none.

    Raises:
        UsageError: Another host is asked and there is no key, or it cannot be one.
    """
    for name in KEY_VARIABLES:
        value = os.environ.get(name, "").strip()
        if not value:
            continue
        if not value.isascii() or not value.isprintable() or " " in value:
            raise UsageError(
                f"the key in the environment variable {name} holds characters that no key has. Set it again."
            )
        return Key(value)
    host = host_of(base_url)
    if is_loopback(host):
        return Key("none")
    raise UsageError(
        f"{host} needs a key, and the environment has none. Run `export {KEY_VARIABLES[0]}=...` in this terminal; "
        "a key in study.yaml or on the command line is not read."
    )


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_host(host: str) -> bool:
    return _address(host) is not None or _NAME.fullmatch(host.lower()) is not None


def _same(host: str, allowed: str) -> bool:
    address = _address(host)
    return host.lower() == allowed or (address is not None and address == _address(allowed.strip("[]")))
