"""Addresses of a service: what they become, and where the key is not sent."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ab_ros.errors import ConfigError, ProtocolError
from ab_ros.protocol import CALLS, Endpoint, Realtime, origin_of
from ab_ros.protocol.endpoint import is_loopback


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://host", "https://host/api"),
        ("https://host/", "https://host/api"),
        ("https://host/api", "https://host/api"),
        ("https://host/api///", "https://host/api"),
        ("https://host/some/path", "https://host/some/path/api"),
        ("https://host/apis", "https://host/apis/api"),
        ("  https://HOST:443/ ", "https://host/api"),
        ("https://host:8443", "https://host:8443/api"),
        ("http://127.0.0.1:8642", "http://127.0.0.1:8642/api"),
        ("http://localhost:80", "http://localhost/api"),
        ("http://[::1]:8642/api", "http://[::1]:8642/api"),
        ("https://bücher.example", "https://bücher.example/api"),
    ],
)
def test_an_address_is_brought_into_one_form(url: str, base: str) -> None:
    assert Endpoint.parse(url).base == base
    assert Endpoint.parse(Endpoint.parse(url).base).base == base


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "must be like https://host"),
        ("host:8642", "must be like https://host"),
        ("ftp://host", "must be like https://host"),
        ("https://", "must be like https://host"),
        ("https://host:99999", "is not an address"),
        ("https://[::1", "is not an address"),
        ("https://user:secret@host", "must not hold a user or password"),
        ("https://user:secret@host:99999", "is not an address"),
        ("ftp://user:secret@host/?key=secret", "must be like https://host"),
        ("https://host?key=secret", "must not have a query"),
        ("https://host/#secret", "must not have a query or fragment"),
        ("https://ho st", "characters that no address has"),
        ("https://host\\secret", "characters that no address has"),
        ("https://host/a b", "characters that no address has"),
        ("https://host/../robot", "characters that no address has"),
        ("https://a%2fb", "characters that no address has"),
    ],
)
def test_what_is_no_address_is_refused_without_telling_a_secret(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        Endpoint.parse(url)
    assert "user:secret" not in str(refused.value)
    assert "key=secret" not in str(refused.value)


def test_plain_http_goes_to_this_computer_only_unless_a_host_is_named() -> None:
    for host in ("127.0.0.1", "127.8.9.1", "localhost", "[::1]"):
        Endpoint.parse(f"http://{host}:8642")
    hosts = ("192.168.1.7", "desk", "0.0.0.0", "127.0.0.1.evil.example", "localhost.evil.example")
    for host in hosts:
        with pytest.raises(ConfigError, match="in the clear"):
            Endpoint.parse(f"http://{host}:8642")
        with pytest.raises(ConfigError, match="in the clear"):
            Endpoint.parse(f"http://{host}", plain_http=["another"])
        assert Endpoint.parse(f"http://{host}", plain_http=[host.upper()]).origin
        assert Endpoint.parse(f"https://{host}").origin == f"https://{host}"
    assert not is_loopback("2130706433") and not is_loopback("127.1")


def test_calls_have_their_paths_and_projects_are_escaped() -> None:
    endpoint = Endpoint.parse("https://host/api/")
    urls = [endpoint.call("proj1", name) for name in CALLS]
    assert urls == [
        "https://host/api/robot/proj1/start",
        "https://host/api/robot/proj1/stop",
        "https://host/api/robot/proj1/io/state",
        "https://host/api/robot/proj1/contract",
    ]
    assert endpoint.call("a/../b c?d#é%", "start") == (
        "https://host/api/robot/a%2F..%2Fb%20c%3Fd%23%C3%A9%25/start"
    )
    for project in ("", ".", "..", "\ud800"):
        with pytest.raises(ConfigError, match="project"):
            endpoint.call(project, "start")
    with pytest.raises(ConfigError, match="unknown call 'save'; one of: start"):
        endpoint.call("proj1", "save")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_a_project_s_id_arrives_as_it_is_and_stays_one_segment(project: str) -> None:
    endpoint = Endpoint.parse("https://host")
    try:
        url = endpoint.call(project, "start")
    except ConfigError:
        assert project in (".", "..")
        return
    *_, robot, segment, call = httpx.URL(url).raw_path.decode().split("/")
    assert (robot, call) == ("robot", "start")
    assert unquote(segment) == project


words = st.sampled_from(
    [*"/\\@:?#%.[] \t\0é", "127.0.0.1", "localhost", "evil.example", "http:", "https:", "//", "::1"]
)


@given(st.lists(words, max_size=8).map("".join), st.sampled_from(["", "http://", "https://"]))
@example("127.0.0.1\\@evil.example", "http://")
@example("evil.example#@127.0.0.1", "http://")
@example("é", "https://")
def test_the_key_goes_to_no_other_host_than_the_one_that_was_judged(text: str, scheme: str) -> None:
    try:
        endpoint = Endpoint.parse(scheme + text)
    except ConfigError:
        return
    url = httpx.URL(endpoint.call("p", "start"))
    assert url.path.endswith("/api/robot/p/start") and not url.query and not url.userinfo
    assert url.scheme == "https" or is_loopback(url.host)
    assert origin_of(str(url)) == endpoint.origin


def test_a_name_beyond_ascii_is_the_same_in_both_of_its_forms() -> None:
    endpoint = Endpoint.parse("https://é.example")
    assert endpoint.origin == origin_of("https://xn--9ca.example") == origin_of("wss://é.example")
    assert endpoint.realtime({"url": "wss://xn--9ca.example"}).origin == endpoint.origin


def test_realtime_is_where_the_service_is_by_default() -> None:
    endpoint = Endpoint.parse("https://host:8443/some/api")
    here = Realtime("https://host:8443", "/ab")
    given_: list[Any] = [
        None,
        {},
        {"namespace": None, "url": None},
        {"url": "https://host:8443"},
        {"url": "wss://HOST:8443/socket.io/", "namespace": "/ab"},
    ]
    for realtime in given_:
        assert endpoint.realtime(realtime) == here
    assert endpoint.realtime({"namespace": "/other"}).namespace == "/other"
    assert Endpoint.parse("https://host").realtime({"url": "https://host:443"}).origin == (
        "https://host"
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example",
        "https://host.evil.example",
        "https://host:8444",
        "http://host:8443",
        "ws://host:8443",
        "https://host@evil.example",
        "http://127.0.0.1:8642",
        "",
        "host:8443",
        "//host:8443",
        "javascript:alert(1)",
        "https://[",
        5,
        ["https://host:8443"],
    ],
)
def test_realtime_elsewhere_does_not_get_the_key(url: Any) -> None:
    endpoint = Endpoint.parse("https://host:8443")
    with pytest.raises(ProtocolError, match=r"realtime|address"):
        endpoint.realtime({"url": url})


def test_realtime_elsewhere_can_be_allowed_by_name_but_not_in_the_clear() -> None:
    endpoint = Endpoint.parse("https://host", plain_http=["desk"])
    allowed = ["wss://rt.example", "http://cam.example", "http://desk:8642"]
    assert endpoint.realtime({"url": "https://rt.example/x"}, allowed).origin == (
        "https://rt.example"
    )
    assert endpoint.realtime({"url": "http://desk:8642"}, allowed).origin == "http://desk:8642"
    with pytest.raises(ProtocolError, match="in the clear"):
        endpoint.realtime({"url": "http://cam.example"}, allowed)
    with pytest.raises(ProtocolError, match="allow that origin by name"):
        endpoint.realtime({"url": "https://other.example"}, allowed)


@pytest.mark.parametrize("namespace", ["ab", "", 5, "/a,b", "/a b", "/\n", "/" + "a" * 200, "/ä"])
def test_a_namespace_that_would_break_packets_is_refused(namespace: Any) -> None:
    with pytest.raises(ProtocolError, match="namespace must be like /ab"):
        Endpoint.parse("https://host").realtime({"namespace": namespace})


@given(
    st.recursive(st.none() | st.text() | st.integers() | st.booleans(), st.lists)
    | st.dictionaries(st.sampled_from(["url", "namespace"]), st.text() | st.integers() | st.none())
)
def test_garbage_as_realtime_stays_at_the_service(given_: Any) -> None:
    endpoint = Endpoint.parse("https://host")
    try:
        realtime = endpoint.realtime(given_)
    except ProtocolError as error:
        assert len(str(error)) < 400  # noqa: PT017
    else:
        assert realtime.origin == "https://host"
