"""The HTTP client: the one door through which this server calls others by HTTP.

Rules:
1. It goes where it is told and nowhere else: redirects are not followed, the environment names no proxy.
2. Nothing that a receiver does takes longer than the deadline, or more memory than the bounds.
3. It logs nothing: URLs, headers and bodies may hold secrets or data of patients.
"""

import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import httpx
import trio

from ..model.errors import (
    InexistentFile,
    OrthancError,
    ParameterOutOfRange,
    RemoteRefused,
    RemoteTimeout,
    RemoteUnavailable,
)
from .client import HttpClientOptions, HttpReply

_MAX_ANSWER: Final = 64 << 10
"""Bytes of an answer that are read, and dropped, so that the connection can be used again.

Of any other answer only the head is read, and its connection is closed."""
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=5)


class HttpxClient:
    """Implements `HttpClient` over kept connections. Safe to use from many tasks."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> HttpReply:
        """Send `body`, see `HttpClient.post`."""
        with trio.move_on_after(timeout_s):
            try:
                return await self._post(url, body, headers)
            except httpx.HTTPError as error:
                raise _translated(error) from None
            except (httpx.InvalidURL, ValueError):  # ValueError: a name that no resolver takes
                raise RemoteRefused("The URL of the receiver is not valid") from None
        raise RemoteTimeout(f"No answer within {timeout_s:g} s")

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> HttpReply:
        size = {"Content-Length": str(len(body))}
        request = self._client.build_request("POST", url, headers={**headers, **size})
        request.stream = _Body(body)
        answer = await self._client.send(request, stream=True)
        try:
            if _is_small(answer.headers):
                await answer.aread()
            return HttpReply(answer.status_code, answer.headers.get("retry-after", ""))
        finally:
            await answer.aclose()


class _Body(httpx.AsyncByteStream):
    """The body of a request, told once. That of httpx is a generator, which nobody closes after a cancel."""

    def __init__(self, data: bytes) -> None:
        self._data: bytes | None = data

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        data, self._data = self._data, None
        if data is None:
            raise StopAsyncIteration
        return data


@asynccontextmanager
async def open_http_client(options: HttpClientOptions) -> AsyncIterator[HttpxClient]:
    """Open a client; leaving closes its connections.

    Raises InexistentFile if the file of the authorities cannot be used, ParameterOutOfRange for a proxy that
    is no address.
    """
    for name in ("httpx", "httpcore"):  # they log URLs and headers
        logging.getLogger(name).setLevel(logging.CRITICAL)
    client = httpx.AsyncClient(
        headers={"Accept-Encoding": "identity"},
        verify=_tls_context(options),
        proxy=_proxy(options.proxy),
        timeout=None,  # the deadline of a call is that of the whole call
        limits=_LIMITS,
        follow_redirects=False,
        trust_env=False,
    )
    async with client:
        yield HttpxClient(client)


def _is_small(headers: httpx.Headers) -> bool:
    size = headers.get("content-length", "")
    return (
        size.isdigit() and len(size) < 10 and int(size) <= _MAX_ANSWER and "content-encoding" not in headers
    )


def _translated(error: httpx.HTTPError) -> OrthancError:
    """Return the error in our words. Those of the library are not used: they may quote the URL."""
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return RemoteRefused("The certificate of the receiver is not trusted")
    if isinstance(error, httpx.ConnectError):
        return RemoteUnavailable("Cannot connect to the receiver")
    return RemoteUnavailable("The connection to the receiver broke off")


def _proxy(address: str) -> httpx.Proxy | None:
    if not address:
        return None
    try:
        return httpx.Proxy(address if "://" in address else f"http://{address}")
    except (httpx.InvalidURL, ValueError) as error:
        problem = "must be like [user:password@]host:port"
        raise ParameterOutOfRange(f'The configuration option "HttpProxy" {problem}') from error


def _tls_context(options: HttpClientOptions) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(
            cafile=None if options.authorities is None else str(options.authorities)
        )
    except OSError as error:
        problem = f"must name a file with certificates: {error.strerror}"
        raise InexistentFile(f'The configuration option "HttpsCACertificates" {problem}') from error
    if not options.verifies_peers:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
