"""The TLS settings of the HTTP server. Source: the Orthanc Book, "HTTPS encryption with Orthanc"."""

import ssl
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from ..model.errors import BadFileFormat, InexistentFile, ParameterOutOfRange

DEFAULT_CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "DHE-RSA-AES128-GCM-SHA256",
    "DHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-RSA-AES256-SHA384",
)
_TLS_1_3_LEVEL = 5


class TlsOptions(Struct, frozen=True, kw_only=True):
    """What the configuration says of TLS."""

    certificate: Path
    """A PEM file with the certificate and its key."""
    minimum_level: int = 4
    """`SslMinimumProtocolVersion`: 4 is TLS 1.2, which lower levels are raised to, 5 is TLS 1.3."""
    ciphers: Sequence[str] | None = None
    """OpenSSL names for TLS 1.2; None is a safe list."""
    trusted_clients: Path | None = None
    """A PEM file of certificates, one of which a client must then have or be signed by."""


def server_context(options: TlsOptions) -> ssl.SSLContext:
    """Read the certificates.

    Raises InexistentFile or BadFileFormat for a certificate that cannot be used, ParameterOutOfRange if no
    cipher is known. Blocks for the reading of small files: for the start of the server only.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    is_1_3 = options.minimum_level >= _TLS_1_3_LEVEL
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if is_1_3 else ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load_certificates(context, options)
    try:
        context.set_ciphers(":".join(options.ciphers or DEFAULT_CIPHERS))
    except ssl.SSLError as error:
        raise ParameterOutOfRange("No known cipher in SslCiphersAccepted") from error
    return context


def _load_certificates(context: ssl.SSLContext, options: TlsOptions) -> None:
    path = options.certificate
    try:
        context.load_cert_chain(path)
        if options.trusted_clients is not None:
            path = options.trusted_clients
            context.load_verify_locations(path)
            context.verify_mode = ssl.CERT_REQUIRED
    except ssl.SSLError as error:
        raise BadFileFormat(f"Not a usable certificate: {path}") from error
    except OSError as error:
        raise InexistentFile(f"Cannot read the certificate: {path}") from error
