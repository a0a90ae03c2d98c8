import pytest

from orthanc_trio.httpd.head import BadHead, Head, parse_head
from orthanc_trio.httpd.options import HttpOptions

OPTIONS = HttpOptions(max_head_bytes=2000, max_headers=10, max_target_bytes=500)


def parse(*lines: str) -> Head:
    return parse_head("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n", OPTIONS)


def refused(*lines: str) -> int:
    with pytest.raises(BadHead) as caught:
        parse(*lines)
    return caught.value.status


def test_a_head_has_method_target_and_headers_in_lower_case() -> None:
    head = parse("GET /a%20b?x=1 HTTP/1.1", "Host: me", "X-Thing:  Value ")
    assert (head.method, head.target) == ("GET", b"/a%20b?x=1")
    assert head.headers == [(b"host", b"me"), (b"x-thing", b"Value")]
    assert (head.content_length, head.is_chunked, head.expects_continue) == (0, False, False)


@pytest.mark.parametrize(
    ("version", "connection", "keeps"),
    [
        ("1.1", None, True),
        ("1.1", "close", False),
        ("1.1", "Keep-Alive, Close", False),
        ("1.0", None, False),
        ("1.0", "Keep-Alive", True),
        ("1.0", "close", False),
    ],
)
def test_the_connection_is_kept_as_version_and_header_say(
    version: str, connection: str | None, keeps: bool
) -> None:
    lines = [] if connection is None else [f"Connection: {connection}"]
    assert parse(f"GET / HTTP/{version}", "Host: me", *lines).keep_alive is keeps


def test_several_connection_headers_count_together() -> None:
    assert not parse("GET / HTTP/1.1", "Host: me", "Connection: x", "Connection: close").keep_alive


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 3", "Content-Length: 3"],
        ["Content-Length: 3", "Content-Length: 4"],
        ["Content-Length: 3, 3"],
        ["Content-Length: +3"],
        ["Content-Length: -3"],
        ["Content-Length: 0x3"],
        ["Content-Length: 3 4"],
        ["Content-Length: 9999999999999999999"],
        ["Content-Length:"],
        ["Content-Length: 3", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 3"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked, chunked"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding:"],
        ["Transfer-Encoding : chunked"],
        [" Transfer-Encoding: chunked"],
        ["X: a\r\n b"],
        ["X: a\r\n\tb"],
        ["X: a\rb"],
        ["X: a\nY: b"],
        ["X: a\0b"],
        ["X y: a"],
        [": a"],
        ["no colon"],
    ],
)
def test_what_two_readers_could_read_differently_is_refused(lines: list[str]) -> None:
    assert refused("POST / HTTP/1.1", "Host: me", *lines) in (400, 411, 501)


@pytest.mark.parametrize("length", ["abc", "-3", "+3", "3 4", "", "3,3"])
def test_a_length_that_is_no_number_is_told_apart(length: str) -> None:
    assert refused("POST / HTTP/1.1", "Host: me", f"Content-Length: {length}") == 411
    assert refused("POST / HTTP/1.1", "Host: me", f"Content-Length: {length}", "Content-Length: 3") == 400


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("FOO / HTTP/1.1", 400),
        ("get / HTTP/1.1", 400),
        ("CONNECT a:80 HTTP/1.1", 400),
        ("GET /", 400),
        ("GET / RTSP/1.0", 400),
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/0.9", 505),
        ("GET /\xe9 HTTP/1.1", 400),
        ("GET /a b HTTP/1.1", 400),
        ("GET  HTTP/1.1", 400),
        ("", 400),
        ("GET /" + "x" * 500 + " HTTP/1.1", 414),
    ],
)
def test_a_bad_request_line_is_refused(line: str, status: int) -> None:
    assert refused(line, "Host: me") == status


def test_exactly_one_host_is_needed_since_http_1_1() -> None:
    assert refused("GET / HTTP/1.1", "X: y") == 400
    assert refused("GET / HTTP/1.1", "Host: a", "Host: b") == 400
    assert parse("GET / HTTP/1.0", "X: y").target == b"/"


def test_too_many_or_too_long_headers_are_refused() -> None:
    assert refused("GET / HTTP/1.1", "Host: me", *[f"X{n}: y" for n in range(10)]) == 431
    assert refused("GET / HTTP/1.1", "Host: me", "X: " + "y" * 2000) == 431


def test_encodings_and_expectations_beyond_the_standard_ones_are_refused() -> None:
    assert refused("POST / HTTP/1.1", "Host: me", "Transfer-Encoding: gzip, chunked") == 501
    assert refused("POST / HTTP/1.1", "Host: me", "Expect: magic") == 417
    assert parse("POST / HTTP/1.1", "Host: me", "Expect: 100-Continue").expects_continue
    assert not parse("POST / HTTP/1.0", "Expect: 100-continue").expects_continue


def test_only_a_websocket_is_an_upgrade() -> None:
    upgrade = ["Host: me", "Connection: keep-alive, Upgrade"]
    assert parse("GET / HTTP/1.1", *upgrade, "Upgrade: WebSocket").is_websocket
    assert not parse("GET / HTTP/1.1", *upgrade, "Upgrade: h2c").is_websocket
    assert not parse("GET / HTTP/1.1", "Host: me", "Upgrade: websocket").is_websocket
    body = parse("POST / HTTP/1.1", *upgrade, "Upgrade: h2c", "Content-Length: 5")
    assert body.content_length == 5
