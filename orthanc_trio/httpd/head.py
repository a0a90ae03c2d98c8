"""The head of a request: from bytes to a checked `Head`, or to the status that refuses it.

Everything that could make two readers see different requests in the same bytes is refused: two lengths, a
length and an encoding, folded headers, bare line feeds, several hosts. Source: RFC 9112.
"""

import re

import httptools

from .options import HttpOptions

END = b"\r\n\r\n"
H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\n"

_NOTED = frozenset({b"connection", b"content-length", b"expect", b"host", b"transfer-encoding", b"upgrade"})
_LENGTHS = re.compile(rb"\r\ncontent-length:([^\r\n]*)", re.IGNORECASE)
_MAX_LENGTH_DIGITS = 18


class BadHead(Exception):
    """A head that is refused with `status`; the connection cannot go on."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Head:
    """One request without its body. Also collects what httptools reports."""

    __slots__ = (
        "_noted",
        "content_length",
        "expects_continue",
        "headers",
        "is_chunked",
        "is_http_11",
        "is_websocket",
        "keep_alive",
        "method",
        "target",
    )

    def __init__(self) -> None:
        self.method = ""
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.is_http_11 = True
        self.is_websocket = False
        self.keep_alive = True
        self.content_length = 0
        self.is_chunked = False
        self.expects_continue = False
        self._noted: dict[bytes, bytes] = {}

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header."""
        name = name.lower()
        value = value.rstrip(b" \t")
        self.headers.append((name, value))
        if name in _NOTED:
            noted = self._noted
            noted[name] = noted[name] + b"," + value if name in noted else value

    def check(self, options: HttpOptions) -> None:
        """Derive the framing. Raises BadHead."""
        if len(self.target) > options.max_target_bytes:
            raise BadHead(414)
        if len(self.headers) > options.max_headers:
            raise BadHead(431)
        noted = self._noted
        if self.is_http_11 and (b"host" not in noted or b"," in noted[b"host"]):
            raise BadHead(400)
        self.keep_alive = self.is_http_11
        if len(noted) > 1 or b"host" not in noted:
            self._check_connection()
            self._check_framing()

    def _check_connection(self) -> None:
        tokens = {token.strip().lower() for token in self._noted.get(b"connection", b"").split(b",")}
        if self.is_http_11:
            self.keep_alive = b"close" not in tokens
        else:
            self.keep_alive = b"keep-alive" in tokens and b"close" not in tokens
        is_upgrade = b"upgrade" in tokens and self.is_http_11
        self.is_websocket = is_upgrade and self._noted.get(b"upgrade", b"").lower() == b"websocket"
        expectation = self._noted.get(b"expect", b"").lower()
        if expectation and expectation != b"100-continue":
            raise BadHead(417)
        self.expects_continue = bool(expectation) and self.is_http_11

    def _check_framing(self) -> None:
        length = self._noted.get(b"content-length")
        encoding = self._noted.get(b"transfer-encoding")
        if encoding is not None:
            if length is not None or not self.is_http_11:
                raise BadHead(400)
            if encoding.lower() != b"chunked":
                raise BadHead(501)
            self.is_chunked = True
        elif length is not None:
            if not length.isdigit() or len(length) > _MAX_LENGTH_DIGITS:
                raise BadHead(400)
            self.content_length = int(length)


def parse_head(data: bytes, options: HttpOptions) -> Head:
    """Parse one head, from its request line to its empty line. Raises BadHead."""
    if len(data) > options.max_head_bytes:
        raise BadHead(overlong_status(data, options))
    head = Head()
    head.is_http_11 = _is_http_11(data)
    parser = httptools.HttpRequestParser(head)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        pass  # the head is complete; which upgrades are taken is decided below
    except httptools.HttpParserError as error:
        raise BadHead(_refusal_of(data)) from error
    head.method = parser.get_method().decode("ascii")
    if head.method == "CONNECT":
        raise BadHead(400)
    head.check(options)
    return head


def _refusal_of(data: bytes) -> int:
    """Return 411 if the only fault can be a length that is no number, as Orthanc does."""
    lengths = _LENGTHS.findall(data)
    return 411 if len(lengths) == 1 and not lengths[0].strip().isdigit() else 400


def _is_http_11(data: bytes) -> bool:
    end = data.index(b"\r\n")
    match data[max(end - 9, 0) : end]:
        case b" HTTP/1.1":
            return True
        case b" HTTP/1.0":
            return False
        case other:
            raise BadHead(505 if other.startswith(b" HTTP/") else 400)


def overlong_status(data: bytes, options: HttpOptions) -> int:
    """Return the status that refuses a head beyond the limit: 414 if its first line alone is too long."""
    end = data.find(b"\r\n")
    return 414 if end < 0 or end > options.max_target_bytes else 431
