"""Where texts of patients may go, and the key that nobody sees."""

from __future__ import annotations

import pickle

import pytest

from kemm.core.errors import PolicyError, UsageError
from kemm.llm.privacy import Key, api_key, place_of, require_allowed


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8000/v1",
        "http://LOCALHOST/v1",
        "https://127.0.0.1/v1",
        "http://127.8.9.1:11434/v1",
        "http://[::1]:8000/v1",
    ],
)
def test_this_machine_by_name_or_number_is_allowed(url: str) -> None:
    require_allowed(url, None)
    require_allowed(url, "elsewhere.example.org")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://api.example.org/v1", "api.example.org"),
        ("http://10.0.0.5:8000/v1", "10.0.0.5"),
        ("http://0.0.0.0:8000/v1", "0.0.0.0"),
        ("http://[::ffff:127.0.0.1]:8000/v1", "::ffff:127.0.0.1"),
        ("http://[::2]/v1", "::2"),
        ("http://localhost.example.org/v1", "localhost.example.org"),
        ("http://127.0.0.1.example.org/v1", "127.0.0.1.example.org"),
        # Each of these may well lead to this machine, today; none says so by its name.
        ("http://127.1:8000/v1", "127.1"),
        ("http://2130706433/v1", "2130706433"),
        ("http://0x7f000001/v1", "0x7f000001"),
        ("http://my-own-machine:8000/v1", "my-own-machine"),
        ("http://a.localhost/v1", "a.localhost"),
    ],
)
def test_any_other_host_is_refused_with_the_permission_it_needs(url: str, host: str) -> None:
    with pytest.raises(PolicyError) as caught:
        require_allowed(url, None)
    assert f"points to {host}, which is not this machine" in str(caught.value)
    assert f"`allow_host: {host}`" in str(caught.value)
    assert caught.value.exit_code == 7
    require_allowed(url, host)


@pytest.mark.parametrize(
    "allowed", ["example.org", "*.example.org", "*", "", "xapi.example.org", "api.example.org.evil.net"]
)
def test_a_permission_is_for_one_host_exactly(allowed: str) -> None:
    with pytest.raises(PolicyError, match=r"api\.example\.org"):
        require_allowed("https://api.example.org/v1", allowed)


def test_a_permission_heeds_neither_capitals_nor_ports() -> None:
    require_allowed("https://API.example.org:8443/v1", "api.Example.org")
    require_allowed("http://[fd00::0:1]:8000/v1", "[fd00::1]")


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000",
        "ftp://localhost/v1",
        "file:///v1",
        "http:///v1",
        "http://localhost\\@api.example.org/v1",
        "http://localhost /v1",
        "http://localhost\n.example.org/v1",
        "http://lоcalhost/v1",  # a Cyrillic letter
        "http://localhost:port/v1",
        "http://[::1/v1",
        "http://localhost%2eexample.org/v1",
        "http://localhost/v1?to=api.example.org",
        "http://localhost#@api.example.org/v1",
        "",
    ],
)
def test_an_address_that_could_be_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match=r"llm\.base_url .*http://localhost:8000/v1"):
        require_allowed(url, None)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError, match="Take it out") as caught:
        require_allowed("http://me:hunter22@localhost/v1", None)
    assert "hunter22" not in str(caught.value)


def test_the_place_is_host_and_port() -> None:
    assert place_of("http://Localhost:8000/v1") == "localhost:8000"
    assert place_of("https://api.example.org/v1") == "api.example.org"
    assert place_of("http://[::1]:80/v1") == "[::1]:80"


def test_keys_come_from_the_environment_our_own_first(monkeypatch: pytest.MonkeyPatch) -> None:
    assert api_key("http://localhost/v1").value == "none"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-theirs")
    assert api_key("http://localhost/v1").value == "sk-theirs"
    monkeypatch.setenv("KEMM_LLM_API_KEY", " sk-ours\n")
    assert api_key("http://localhost/v1").value == "sk-ours"


def test_another_host_needs_a_key() -> None:
    with pytest.raises(UsageError, match=r"api\.example\.org needs a key.*export KEMM_LLM_API_KEY="):
        api_key("https://api.example.org/v1")


@pytest.mark.parametrize("value", ["sk-one\nX-Header: two", "sk one", "sk-ü"])
def test_a_key_that_cannot_be_one_is_refused_and_not_repeated(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEMM_LLM_API_KEY", value)
    with pytest.raises(UsageError, match="KEMM_LLM_API_KEY holds characters that no key has") as caught:
        api_key("http://localhost/v1")
    assert value not in str(caught.value)


def test_a_key_shows_itself_nowhere() -> None:
    key = Key("sk-hidden-123")
    assert [text for text in (repr(key), str(key), f"{key}", f"{[key]}") if "hidden" in text] == []
    assert key.hide("told sk-hidden-123!") == "told ***!"
    assert Key("none").hide("there is none") == "there is none"
    with pytest.raises(TypeError, match="not written down"):
        pickle.dumps(key)
    with pytest.raises(TypeError):
        vars(key)
