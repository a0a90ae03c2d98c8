"""The sample configuration, written from Settings itself: every option with its default and its meaning."""

import json
from typing import Any

import msgspec

from .option import Option, options
from .settings import Effect

# The option that begins a section.
_SECTIONS = {
    "Name": "General",
    "ConcurrentJobs": "Jobs",
    "HttpServerEnabled": "HTTP server",
    "RemoteAccessAllowed": "Security",
    "DicomServerEnabled": "DICOM server",
    "DicomTlsEnabled": "DICOM over TLS",
    "DicomModalities": "DICOM modalities",
    "OrthancPeers": "Other HTTP servers",
    "PatientLevelEnabled": "Index and searches",
    "TranscodeDicomProtocol": "Parsing and transcoding",
    "StorageBackend": "Options that only this server has",
}

# Options without a default are shown by an example, as a comment.
_EXAMPLES: dict[str, Any] = {
    "IndexDirectory": "OrthancIndex",
    "TemporaryDirectory": "/tmp",
    "DatabaseServerIdentifier": "server1",
    "Locale": "C.UTF-8",
    "Pkcs11": {"Module": "/usr/lib/libsofthsm2.so", "Pin": "1234", "Verbose": False},
    "AuthenticationEnabled": True,
    "RegisteredUsers": {"alice": "a long password"},
    "SslCiphersAccepted": ["ECDHE-RSA-AES128-GCM-SHA256"],
    "DicomTlsCertificate": "dicom.crt",
    "DicomTlsPrivateKey": "dicom.key",
    "DicomTlsTrustedCertificates": "trusted.crt",
    "DicomTlsCiphersAccepted": ["ECDHE-RSA-AES128-GCM-SHA256"],
    "HttpsCACertificates": "/etc/ssl/certs/ca-certificates.crt",
    "ExtraMainDicomTags": {"Series": ["Laterality"]},
    "ExternalDictionaries": ["private.dic"],
    "IngestTranscoding": "1.2.840.10008.1.2.1",
    "SequentialDicomReaderThreadsCount": 4,
    "FailedJobsHistorySize": 100,
    "FailedJobsHistoryMaximumAge": 604800,
    "OrthancExplorer2": {"Root": "/usr/share/orthanc-explorer-2", "Theme": "light"},
}

_HEAD = """\
/**
 * The configuration of orthanc_trio: every option with its default.
 * A file needs only the options that differ. Comments and a last comma are allowed;
 * Variables of the environment are written ${...} or, with a default, ${...:-default}.
 * Relative paths are relative to the folder of the first file.
 **/
"""


def sample() -> str:
    """Return the text of a configuration file that documents every option and sets the defaults."""
    known = options()
    last = next(name for name in reversed(known) if known[name].default is not None)
    lines = [line for option in known.values() for line in _lines(option, is_last=option.name == last)]
    return _HEAD + "{\n" + "\n".join(lines).removeprefix("\n") + "\n}\n"


def _lines(option: Option, *, is_last: bool) -> list[str]:
    heading = ["", f"  /** {_SECTIONS[option.name]} **/"] if option.name in _SECTIONS else []
    note = option.comment if option.has_effect else f"{option.comment} ({Effect.NONE.value})"
    comment = f"  // {note[0].upper()}{note[1:]}."
    if option.default is None:
        example = _EXAMPLES.get(option.name, False)
        return [*heading, "", comment, f"  // {_member(option.name, example)},"]
    return [*heading, "", comment, f"  {_member(option.name, option.default)}{'' if is_last else ','}"]


def _member(name: str, value: Any) -> str:
    plain = msgspec.to_builtins(value, enc_hook=str)
    return f'"{name}": {json.dumps(plain)}'
