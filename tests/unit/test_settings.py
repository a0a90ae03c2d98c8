"""The options of the table in the Orthanc Book, with their defaults, and what may be given for them."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from orthanc_trio.config.choice import MaximumStorageMode, OverwriteInstances, RetrieveMethod
from orthanc_trio.config.encoding import Encoding
from orthanc_trio.config.jobs import JobsLimits, JobsRetry
from orthanc_trio.config.option import options
from orthanc_trio.config.settings import Settings, option_name
from orthanc_trio.config.webhook import WebhookRetry
from orthanc_trio.model.errors import BadParameterType, ParameterOutOfRange


def names(text: str) -> list[str]:
    return text.split()


TRUE = names("""
    HttpServerEnabled OrthancExplorerEnabled WebDavEnabled WebDavUploadAllowed DicomServerEnabled
    DicomTlsRemoteCertificateRequired DicomAlwaysAllowEcho DicomAlwaysAllowStore HttpsVerifyPeers
    StoreDicom LoadPrivateDictionary SynchronousCMove SaveJobs MetricsEnabled TranscodeDicomProtocol
    IngestTranscodingOfUncompressed IngestTranscodingOfCompressed DeidentifyLogs SynchronousZipStream
    StoreMD5ForAttachments PatientLevelEnabled HttpDescribeErrors KeepAlive TcpNoDelay SyncStorageArea
""")
FALSE = names("""
    StorageCompression WebDavDeleteAllowed DicomCheckCalledAet UnknownSopClassAccepted
    RemoteAccessAllowed SslEnabled SslVerifyPeers DicomTlsEnabled DicomAlwaysAllowFind
    DicomAlwaysAllowFindWorklist DicomAlwaysAllowGet DicomAlwaysAllowMove DicomCheckModalityHost
    DicomModalitiesInDatabase DicomEchoChecksFind OrthancPeersInDatabase HttpVerbose StrictAetComparison
    CaseSensitivePN CheckRevisions ReadOnly ZipUseUtf8 LogExportedResources ExecuteLuaEnabled
    RestApiWriteToFileSystemEnabled HttpCompressionEnabled
""")
ABSENT = names("""
    HttpsCACertificates IndexDirectory DeflatedTransferSyntaxAccepted JpegTransferSyntaxAccepted
    Jpeg2000TransferSyntaxAccepted JpegLosslessTransferSyntaxAccepted JpipTransferSyntaxAccepted
    Mpeg2TransferSyntaxAccepted RleTransferSyntaxAccepted Mpeg4TransferSyntaxAccepted
    H265TransferSyntaxAccepted AuthenticationEnabled RegisteredUsers DicomTlsCertificate
    DicomTlsPrivateKey DicomTlsTrustedCertificates Locale ExternalDictionaries IngestTranscoding
    DatabaseServerIdentifier ExtraMainDicomTags TemporaryDirectory Pkcs11 SslCiphersAccepted
    DicomTlsCiphersAccepted SequentialDicomReaderThreadsCount
""")
NUMBERS = {
    "MaximumStorageSize": 0,
    "MaximumPatientCount": 0,
    "MaximumStorageCacheSize": 128,
    "StorageLoaderThreadsCount": 4,
    "StorageMemoryCapacity": 512,
    "ConcurrentJobs": 2,
    "HttpPort": 8042,
    "HttpThreadsCount": 50,
    "DicomPort": 4242,
    "DicomThreadsCount": 4,
    "HttpTimeout": 60,
    "StableAge": 60,
    "LimitFindResults": 0,
    "LimitFindInstances": 0,
    "QueryRetrieveSize": 100,
    "JobsHistorySize": 10,
    "MediaArchiveSize": 1,
    "StorageCommitmentReportsSize": 100,
    "DicomLossyTranscodingQuality": 90,
    "LuaHeartBeatPeriod": 0,
    "KeepAliveTimeout": 1,
    "HttpRequestTimeout": 30,
    "MaximumRequestBodySizeMB": 8192,
    "MaximumFileSizeInArchiveMB": 4096,
    "DicomScpTimeout": 30,
    "DicomScuTimeout": 10,
    "DicomAssociationCloseDelay": 5,
    "MaximumPduLength": 16384,
    "SslMinimumProtocolVersion": 4,
    "DicomTlsMinimumProtocolVersion": 0,
    "MallocArenaMax": 5,
    "MaximumConcurrentDcmtkTranscoders": 0,
    "DicomParserThreadsCount": 2,
    "DicomParserMemoryCapacity": 256,
    "DicomParserCacheSize": 256,
    "TranscoderThreadsCount": 4,
    "TranscoderMemoryCapacity": 256,
    "TranscoderCacheSize": 256,
    "SequentialDicomReaderWindowSize": 4,
    "SequentialDicomReaderWindowCapacity": 128,
}
OTHERS: dict[str, Any] = {
    "Name": "MyOrthanc",
    "StorageDirectory": "OrthancStorage",
    "MaximumStorageMode": "Recycle",
    "LuaScripts": [],
    "Plugins": [],
    "DicomAet": "ORTHANC",
    "DefaultEncoding": "Latin1",
    "AcceptedTransferSyntaxes": ["1.2.840.10008.1.*"],
    "SslCertificate": "certificate.pem",
    "SslTrustedClientCertificates": "trustedClientCertificates.pem",
    "DicomModalities": {},
    "DicomDefaultRetrieveMethod": "C-MOVE",
    "DicomScuPreferredTransferSyntax": "1.2.840.10008.1.2.1",
    "OrthancPeers": {},
    "HttpProxy": "",
    "Dictionary": {},
    "OverwriteInstances": "Never",
    "StorageAccessOnFind": "Always",
    "DefaultPrivateCreator": "",
    "BuiltinDecoderTranscoderOrder": "After",
    "DeidentifyLogsDicomVersion": "2023b",
    "UserMetadata": {},
    "UserContentType": {},
    "JobsEngineThreadsCount": {"ResourceModification": 0},
    "HttpBindAddresses": [],
    "AcceptedSopClasses": [],
    "RejectedSopClasses": [],
}
OURS = {
    "StorageBackend": "filesystem",
    "IndexBackend": "sqlite",
    "MaximumArchiveEntries": 100000,
    "MaximumArchiveSizeMB": 65536,
    "MediaArchiveMaximumSize": 0,
    "MediaArchiveTimeToLive": 0,
    "ShutdownGracePeriod": 1.0,
    "JobTimeout": 0,
    "JobCancelTimeout": 5.0,
    "JobsRetry": {"Types": {}, "Destinations": {}},
    "JobsLimits": {"Types": {}, "Destinations": {}},
    "FailedJobsHistorySize": None,
    "JobsHistoryMaximumAge": 0,
    "FailedJobsHistoryMaximumAge": None,
    "ShowRetryAsPending": False,
    "OrthancExplorer2": None,
    "ConcurrentConnections": 4096,
    "PseudonymKeys": {},
    "Webhooks": [],
}


def test_every_option_is_there_with_its_default() -> None:
    expected = dict.fromkeys(TRUE, True) | dict.fromkeys(FALSE, False) | dict.fromkeys(ABSENT)
    expected |= NUMBERS | OTHERS | OURS

    plain = msgspec.json.decode(msgspec.json.encode(Settings(), enc_hook=str))

    assert list(plain.pop("Warnings").values()) == [True] * 7
    assert plain == expected


@pytest.mark.parametrize(
    ("attribute", "name"),
    [
        ("http_port", "HttpPort"),
        ("https_ca_certificates", "HttpsCACertificates"),
        ("store_md5_for_attachments", "StoreMD5ForAttachments"),
        ("case_sensitive_pn", "CaseSensitivePN"),
        ("maximum_request_body_size_mb", "MaximumRequestBodySizeMB"),
        ("synchronous_c_move", "SynchronousCMove"),
        ("pkcs11", "Pkcs11"),
    ],
)
def test_attributes_are_named_after_options(attribute: str, name: str) -> None:
    assert option_name(attribute) == name
    assert options()[name].attribute == attribute


@pytest.mark.parametrize(
    ("name", "value", "converted"),
    [
        ("HttpPort", 0, 0),
        ("HttpPort", 65535, 65535),
        ("StableAge", -3, -3),
        ("OverwriteInstances", True, OverwriteInstances.ALWAYS),
        ("OverwriteInstances", False, OverwriteInstances.NEVER),
        ("OverwriteInstances", "IfChanged", OverwriteInstances.IF_CHANGED),
        ("MaximumStorageMode", "Reject", MaximumStorageMode.REJECT),
        ("DicomDefaultRetrieveMethod", "C-GET", RetrieveMethod.C_GET),
        ("DefaultEncoding", "uTF8", Encoding.UTF8),
        ("AcceptedTransferSyntaxes", "1.2.*", ("1.2.*",)),
        ("AcceptedTransferSyntaxes", [], ()),
        ("IndexDirectory", "", None),
        ("IndexDirectory", "x", Path("x")),
        ("LuaScripts", ["a", "b"], (Path("a"), Path("b"))),
        ("ShutdownGracePeriod", 2, 2.0),
        ("AuthenticationEnabled", False, False),
        ("ExtraMainDicomTags", {"Series": ["Laterality"]}, {"Series": ("Laterality",)}),
        ("UserMetadata", {"mine": 1024}, {"mine": 1024}),
        ("JobsLimits", {"Types": {"Archive": 1}}, JobsLimits(types={"Archive": 1})),
        (
            "JobsRetry",
            {"Destinations": {"PACS": {"MaxAttempts": 2, "Delay": 1}}},
            JobsRetry(destinations={"PACS": WebhookRetry(max_attempts=2, delay=1.0)}),
        ),
    ],
)
def test_values_are_converted(name: str, value: Any, converted: Any) -> None:
    result = options()[name].convert(value)

    assert result == converted
    assert type(result) is type(converted)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("HttpPort", "8042", "must be an integer"),
        ("HttpPort", True, "must be an integer"),
        ("HttpPort", 8042.5, "must be an integer"),
        ("SaveJobs", 1, "must be a Boolean"),
        ("SaveJobs", "true", "must be a Boolean"),
        ("AuthenticationEnabled", None, "must be a Boolean"),
        ("Name", 1, "must be a string"),
        ("StorageDirectory", 1, "must be a string"),
        ("OverwriteInstances", 1, "must be a string"),
        ("ShutdownGracePeriod", "1", "must be a number"),
        ("AcceptedSopClasses", "1.2", "must be an array of strings"),
        ("AcceptedSopClasses", [1], "must be an array of strings"),
        ("DicomModalities", [], "must be an object"),
        ("JobsLimits", 3, "must be an object"),
        ("Warnings", {"W001": 1}, "must be an object whose values are each a Boolean"),
        ("ExtraMainDicomTags", {"Study": "x"}, "must be an object whose values are each an array of strings"),
    ],
)
def test_a_wrong_type_names_the_option(name: str, value: Any, text: str) -> None:
    with pytest.raises(BadParameterType) as raised:
        options()[name].convert(value)

    assert raised.value.details == f'The configuration option "{name}" {text}'


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("HttpPort", 65536, "between 0 and 65535"),
        ("HttpPort", -1, "between 0 and 65535"),
        ("HttpThreadsCount", 0, "between 1 and"),
        ("MediaArchiveSize", 0, "between 1 and"),
        ("MaximumStorageSize", 2**40, "between 0 and"),
        ("MaximumPduLength", 1024, "between 4096 and 131072"),
        ("DicomLossyTranscodingQuality", 0, "between 1 and 100"),
        ("ShutdownGracePeriod", -0.5, "between 0 and 3600"),
        ("MaximumStorageMode", "recycle", 'one of "Recycle", "Reject"'),
        ("OverwriteInstances", "Sometimes", 'one of "Never", "Always", "IfChanged"'),
        ("DefaultEncoding", "Klingon", 'one of "Ascii", '),
        ("JobsEngineThreadsCount", {"ResourceModification": -1}, "between 0 and"),
        ("UserMetadata", {"mine": 1}, "between 1024 and 65535"),
        ("StorageDirectory", "", "a path that is not empty"),
        ("LuaScripts", [""], "a path that is not empty"),
    ],
)
def test_a_value_out_of_range_names_the_option(name: str, value: Any, text: str) -> None:
    with pytest.raises(ParameterOutOfRange) as raised:
        options()[name].convert(value)

    assert raised.value.details.startswith(f'The configuration option "{name}" must be {text}')


@pytest.mark.parametrize("option", options().values(), ids=lambda option: option.name)
def test_no_value_of_a_file_breaks_the_conversion(option: Any) -> None:
    for value in (None, True, -1, 0, 2**70, 1.5, "", "x", [], [1], ["x"], {}, {"x": 1}, {"x": None}):
        with suppress(BadParameterType, ParameterOutOfRange):
            option.convert(value)


def test_what_is_not_given_follows_from_others() -> None:
    settings = Settings(storage_directory=Path("s"), remote_access_allowed=True, concurrent_jobs=3)

    assert settings.index_folder == Path("s")
    assert settings.is_authentication_enabled
    assert settings.jobs_slots == 3
    assert settings.sequential_reader_threads == 4


def test_what_is_given_holds() -> None:
    settings = Settings(
        index_directory=Path("i"),
        remote_access_allowed=True,
        authentication_enabled=False,
        sequential_dicom_reader_threads_count=7,
        concurrent_jobs=0,
    )

    assert settings.index_folder == Path("i")
    assert not settings.is_authentication_enabled
    assert settings.jobs_slots >= 1
    assert settings.sequential_reader_threads == 7
