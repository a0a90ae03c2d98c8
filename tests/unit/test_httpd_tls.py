import ssl
from pathlib import Path

import pytest
import trio

from orthanc_trio.httpd.asgi import Receive, Scope, Send
from orthanc_trio.httpd.tls import TlsOptions, server_context
from orthanc_trio.model.errors import BadFileFormat, InexistentFile, ParameterOutOfRange
from tests.support.http import HOST, RawClient, make_certificate, request_bytes, serving, trusting


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"Content-Length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


async def ask(options: TlsOptions, client: ssl.SSLContext) -> bytes:
    """Return what a client gets; empty if its handshake or its request fails."""
    async with serving(hello, tls=server_context(options)) as server:
        stream = await trio.open_tcp_stream(HOST, server.port)
        tls = trio.SSLStream(stream, client, server_hostname="localhost", https_compatible=True)
        async with stream:
            try:
                await tls.send_all(request_bytes("GET", "/", "Connection: close"))
                return await RawClient(tls).read_to_end()
            except trio.BrokenResourceError:
                return b""


async def test_the_defaults_serve_tls_1_2_and_newer(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        client = trusting(certificate)
        client.maximum_version = version
        assert (await ask(TlsOptions(certificate=certificate), client)).endswith(b"hello")


async def test_the_minimum_keeps_older_clients_out(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    client = trusting(certificate)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert await ask(TlsOptions(certificate=certificate, minimum_level=5), client) == b""
    assert await ask(TlsOptions(certificate=certificate, minimum_level=0), client) != b""


async def test_a_client_may_have_to_show_a_trusted_certificate(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    options = TlsOptions(certificate=certificate, trusted_clients=certificate)
    client = trusting(certificate)
    assert await ask(options, client) == b""
    client.load_cert_chain(certificate)
    assert (await ask(options, client)).endswith(b"hello")


def test_ciphers_may_be_chosen(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    chosen = server_context(TlsOptions(certificate=certificate, ciphers=["ECDHE-ECDSA-AES256-GCM-SHA384"]))
    names = {cipher["name"] for cipher in chosen.get_ciphers()}
    assert "ECDHE-ECDSA-AES256-GCM-SHA384" in names
    assert "ECDHE-ECDSA-AES128-GCM-SHA256" not in names
    with pytest.raises(ParameterOutOfRange):
        server_context(TlsOptions(certificate=certificate, ciphers=["NONSENSE"]))


def test_files_that_are_no_certificates_stop_the_start(tmp_path: Path) -> None:
    with pytest.raises(InexistentFile, match="nowhere"):
        server_context(TlsOptions(certificate=tmp_path / "nowhere"))
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    with pytest.raises(BadFileFormat, match="broken"):
        server_context(TlsOptions(certificate=broken))
    good = make_certificate(tmp_path)
    with pytest.raises(BadFileFormat, match="broken"):
        server_context(TlsOptions(certificate=good, trusted_clients=broken))
