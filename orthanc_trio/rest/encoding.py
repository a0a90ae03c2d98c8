"""What a client may ask of an answer in memory: XML in place of JSON, and compression.

Source: the Orthanc Book, "REST API"; RFC 9110 §8.4.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape

import msgspec
import trio
from isal import igzip_lib

from .wire import Answer

XML = "application/xml; charset=utf-8"

_MIN_COMPRESSED_BYTES = 2048
_MIN_THREADED_BYTES = 256 * 1024
_LEVEL = 2
_COMPRESSIBLE = ("text/", "application/json", "application/xml", "application/javascript", "image/svg+xml")
_FLAGS = {"gzip": igzip_lib.COMP_GZIP, "deflate": igzip_lib.COMP_ZLIB}


def wants_xml(accept: bytes | None) -> bool:
    """Return whether `Accept` asks for XML: of its tokens, cut at `;`, the last of the two types counts."""
    if accept is None or b"application/xml" not in accept:
        return False
    tokens = [token.strip() for token in accept.decode("latin-1").lower().split(";")]
    known = [token for token in tokens if token in ("application/xml", "application/json")]
    return bool(known) and known[-1] == "application/xml"


def is_json(answer: Answer) -> bool:
    """Return whether the body is JSON."""
    return answer.media_type is not None and answer.media_type.startswith("application/json")


def to_xml(answer: Answer) -> Answer:
    """Turn a JSON answer into XML."""
    lines = _element("root", msgspec.json.decode(answer.body), "")
    text = '<?xml version="1.0" encoding="utf-8"?>\n' + "".join(lines)
    return msgspec.structs.replace(answer, body=text.encode(), media_type=XML)


def _element(name: str, value: Any, indent: str) -> Iterator[str]:
    tag = escape(name)
    children = _children(value)
    if children is None:
        yield f"{indent}<{tag}>{escape(_text(value))}</{tag}>\n"
    elif not children:
        yield f"{indent}<{tag} />\n"
    else:
        yield f"{indent}<{tag}>\n"
        for child_name, child in children:
            yield from _element(child_name, child, indent + "  ")
        yield f"{indent}</{tag}>\n"


def _children(value: Any) -> list[tuple[str, Any]] | None:
    if isinstance(value, dict):
        return sorted(value.items())
    return [("item", item) for item in value] if isinstance(value, list) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def chosen_coding(answer: Answer, headers: Mapping[bytes, bytes]) -> str | None:
    """Return the coding that an answer is worth and its client accepts, None for none."""
    if len(answer.body) < _MIN_COMPRESSED_BYTES or not (answer.media_type or "").startswith(_COMPRESSIBLE):
        return None
    accepted = _accepted_codings(headers.get(b"accept-encoding", b""))
    return next((coding for coding in _FLAGS if coding in accepted), None)


def accepts_gzip(headers: Mapping[str, str]) -> bool:
    """Return whether a client takes gzip."""
    return "gzip" in _accepted_codings(headers.get("accept-encoding", "").encode("latin-1"))


def _accepted_codings(accept_encoding: bytes) -> set[str]:
    codings = set()
    for token in accept_encoding.decode("latin-1").lower().split(","):
        name, _, weight = token.replace(" ", "").partition(";")
        if not weight.startswith("q=0") or weight.strip("q=0."):
            codings.add(name)
    return codings


async def compress(answer: Answer, coding: str, limiter: trio.CapacityLimiter) -> Answer:
    """Compress an answer, a long one in a thread."""

    def work() -> bytes:
        return bytes(igzip_lib.compress(answer.body, _LEVEL, _FLAGS[coding]))

    if len(answer.body) < _MIN_THREADED_BYTES:
        body = work()
    else:
        body = await trio.to_thread.run_sync(work, limiter=limiter)
    headers = (*answer.headers, ("Content-Encoding", coding))
    return msgspec.structs.replace(answer, body=body, headers=headers)
