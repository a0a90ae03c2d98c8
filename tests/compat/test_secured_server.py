"""HTTPS with certificates of clients, and hashed passwords: a whole server, with openssl and curl."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from tests.support.http import make_certificate
from tests.support.server import Server, running_server

Finished = subprocess.CompletedProcess[bytes]

HASHER = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def make_client_certificate(folder: Path, authority: str, client: str) -> None:
    """Make an authority, and a client's certificate that it signed."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    ca, own = (f"{authority}.key", f"{authority}.pem"), (f"{client}.key", f"{client}.csr")
    openssl(folder, "req", "-x509", *key, "-days", "2", "-subj", "/CN=ca", "-keyout", ca[0], "-out", ca[1])
    openssl(folder, "req", *key, "-subj", f"/CN={client}", "-keyout", own[0], "-out", own[1])
    signing = ("-CA", ca[1], "-CAkey", ca[0], "-CAcreateserial", "-days", "2")
    openssl(folder, "x509", "-req", "-in", own[1], *signing, "-out", f"{client}.pem")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("secured")
    make_client_certificate(folder, "authority", "friend")
    make_client_certificate(folder, "other", "stranger")
    options: dict[str, Any] = {
        "SslEnabled": True,
        "SslCertificate": str(make_certificate(folder)),
        "SslVerifyPeers": True,
        "SslTrustedClientCertificates": "authority.pem",
        "AuthenticationEnabled": True,
        "RegisteredUsers": {"ann": HASHER.hash("secret"), "bob": "plain"},
    }
    with running_server(folder, **options) as server:
        yield server


def curl(server: Server, *arguments: str, client: str | None = "friend") -> Finished:
    own = ["--cert", f"{client}.pem", "--key", f"{client}.key"] if client else []
    url = f"https://localhost:{server.port}/system"
    command = ["curl", "-sS", "-i", "--http1.1", "--cacert", "certificate.pem", *own, *arguments, url]
    return subprocess.run(command, cwd=server.folder, capture_output=True, timeout=10, check=False)


@pytest.mark.parametrize("client", [None, "stranger"])
def test_a_client_without_a_trusted_certificate_gets_no_answer(server: Server, client: str | None) -> None:
    refused = curl(server, "--user", "bob:plain", client=client)
    assert refused.returncode != 0
    assert b"HTTP/" not in refused.stdout


@pytest.mark.parametrize("user", ["ann:secret", "bob:plain"])
def test_a_trusted_client_enters_with_its_password(server: Server, user: str) -> None:
    for _ in range(2):
        answer = curl(server, "--user", user)
        assert answer.stdout.startswith(b"HTTP/1.1 200 "), answer.stderr
        assert b'"IsHttpServerSecure":true' in answer.stdout


@pytest.mark.parametrize("user", ["ann:wrong", "bob:secret", "eve:secret", "ann:"])
def test_a_trusted_client_with_a_wrong_password_does_not(server: Server, user: str) -> None:
    assert curl(server, "--user", user).stdout.startswith(b"HTTP/1.1 401 ")


def test_plain_http_is_not_offered(server: Server) -> None:
    url = f"http://localhost:{server.port}/system"
    refused = subprocess.run(["curl", "-sS", url], capture_output=True, timeout=10, check=False)
    assert refused.stdout == b""
