"""The scope of ASGI out of the head of a request. Source: the ASGI specification, "HTTP & WebSocket"."""

from typing import Any
from urllib.parse import unquote_to_bytes

from .asgi import Scope
from .head import Head

Address = tuple[str, int]

_ASGI = {"version": "3.0", "spec_version": "2.4"}


def make_scope(
    kind: str, head: Head, client: Address, server: Address, extensions: dict[str, dict[str, Any]]
) -> Scope:
    """Return the scope of a request of this kind: `http` or `websocket`."""
    raw_path, _, query = head.target.partition(b"?")
    if not raw_path.startswith(b"/"):
        raw_path = _path_of_absolute(raw_path)
    return {
        "type": kind,
        "asgi": _ASGI,
        "http_version": "1.1" if head.is_http_11 else "1.0",
        "method": head.method,
        "scheme": "http" if kind == "http" else "ws",
        "path": _decode(raw_path),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": head.headers,
        "client": client,
        "server": server,
        "extensions": extensions,
    }


def path_for_log(target: bytes) -> str:
    """Return a target without its query, which may hold what no log should."""
    return target.partition(b"?")[0].decode("ascii", "replace")


def _decode(raw_path: bytes) -> str:
    if b"%" in raw_path:
        raw_path = unquote_to_bytes(raw_path)
    return raw_path.decode("utf-8", "replace")


def _path_of_absolute(target: bytes) -> bytes:
    """Return the path of a target that names its server; `*` stays."""
    _, separator, rest = target.partition(b"://")
    if not separator:
        return target
    return b"/" + rest.partition(b"/")[2]
