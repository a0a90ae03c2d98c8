"""All options, typed: their names in the configuration file, defaults, ranges and meaning.

An attribute is the option's name in snake case (`HttpPort` is `http_port`). The text in an annotation is the
comment of the sample file, so neither can drift from the other; sizes in MB are 1024 x 1024 bytes, times are
in seconds unless the text says otherwise. `None` means that the option is absent.
Source: the Orthanc Book, "Configuration of Orthanc"; options that only this server has come last.
"""

import os
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct, field

from .choice import (
    IndexBackend,
    MaximumStorageMode,
    OverwriteInstances,
    ProfileVersion,
    RetrieveMethod,
    StorageAccessOnFind,
    StorageBackend,
    TranscoderOrder,
)
from .encoding import Encoding
from .explorer import ExplorerOptions
from .jobs import JobsLimits, JobsRetry
from .webhook import Webhook

Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Positive = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Seconds = Annotated[float, Meta(ge=0, le=2**31 - 1)]
Port = Annotated[int, Meta(ge=0, le=65535)]
ProtocolLevel = Annotated[int, Meta(ge=0, le=5)]
UserNumber = Annotated[int, Meta(ge=1024, le=65535)]
Secret = Annotated[str, Meta(min_length=16)]
Texts = tuple[str, ...]
Paths = tuple[Path, ...]


class Effect(Enum):
    """What an option does here, where that is not what it does in Orthanc."""

    NONE = "no effect in this server"


_CAPITALS = {"ca": "CA", "mb": "MB", "md5": "MD5", "pn": "PN"}


def option_name(attribute: str) -> str:
    """Return the option's name in a configuration file: `https_ca_certificates` is `HttpsCACertificates`."""
    return "".join(_CAPITALS.get(word, word.capitalize()) for word in attribute.split("_"))


def _all_warnings() -> dict[str, bool]:
    names = (
        "W001_TagsBeingReadFromStorage",
        "W002_InconsistentDicomTagsInDb",
        "W003_DecoderFailure",
        "W004_NoMainDicomTagsSignature",
        "W005_RequestingTagFromLowerResourceLevel",
        "W006_RequestingTagFromMetaHeader",
        "W007_MissingRequestedTagsNotReadFromDisk",
    )
    return dict.fromkeys(names, True)


class Settings(Struct, frozen=True, kw_only=True, rename=option_name):
    """The whole configuration of one server. Relative paths were resolved when it was loaded."""

    # General
    name: Annotated[str, "name of this server, shown to its users"] = "MyOrthanc"
    storage_directory: Annotated[Path, "folder of the stored files"] = Path("OrthancStorage")
    index_directory: Annotated[Path | None, "folder of the index; absent: that of StorageDirectory"] = None
    temporary_directory: Annotated[Path | None, "folder for large temporary files; absent: the system's"] = (
        None
    )
    storage_compression: Annotated[bool, "compress new files with zlib"] = False
    maximum_storage_size: Annotated[Count, "limit of the storage in MB, 0 = none"] = 0
    maximum_patient_count: Annotated[Count, "limit of the number of patients, 0 = none"] = 0
    maximum_storage_mode: Annotated[
        MaximumStorageMode, "at a limit: Recycle removes the oldest patients, Reject refuses new instances"
    ] = MaximumStorageMode.RECYCLE
    maximum_storage_cache_size: Annotated[Count, "memory for recently used files in MB, 0 = no cache"] = 128
    storage_loader_threads_count: Annotated[Positive, "threads that read and write stored files"] = 4
    storage_memory_capacity: Annotated[Count, "limit of bytes in flight from the storage in MB"] = 512
    lua_scripts: Annotated[Paths, "Lua scripts", Effect.NONE] = ()
    plugins: Annotated[Paths, "plugins", Effect.NONE] = ()
    sync_storage_area: Annotated[bool, "have each stored file on disk before it is acknowledged"] = True
    store_md5_for_attachments: Annotated[bool, "compute and keep the MD5 sums of files"] = True
    store_dicom: Annotated[bool, "keep the DICOM files; false keeps only the index"] = True
    overwrite_instances: Annotated[
        OverwriteInstances, "an instance that is stored already: Never, Always or IfChanged replaces it"
    ] = OverwriteInstances.NEVER
    stable_age: Annotated[int, "seconds without a new instance until a resource is stable"] = 60
    read_only: Annotated[bool, "refuse everything that changes the index or the storage"] = False
    check_revisions: Annotated[bool, "require If-Match to change metadata and attachments"] = False
    database_server_identifier: Annotated[
        str | None, "identity of this server in a shared database; absent: computed"
    ] = None
    log_exported_resources: Annotated[
        bool, "list the resources sent to others under /exports", Effect.NONE
    ] = False
    metrics_enabled: Annotated[bool, "collect metrics"] = True
    malloc_arena_max: Annotated[Count, "limit of memory arenas, 0 = untouched", Effect.NONE] = 5
    locale: Annotated[str | None, "locale of comparisons", Effect.NONE] = None
    lua_heart_beat_period: Annotated[Count, "seconds between two Lua heart beats", Effect.NONE] = 0
    execute_lua_enabled: Annotated[bool, "allow Lua scripts by REST", Effect.NONE] = False
    pkcs11: Annotated[dict[str, Any] | None, "hardware security module for TLS", Effect.NONE] = None

    # Jobs
    concurrent_jobs: Annotated[Count, "jobs that run at the same time, 0 = number of processors"] = 2
    jobs_history_size: Annotated[Count, "ended jobs that are kept"] = 10
    save_jobs: Annotated[bool, "keep the jobs over a restart"] = True
    media_archive_size: Annotated[Positive, "archives of asynchronous jobs that are kept"] = 1
    jobs_engine_threads_count: Annotated[
        dict[str, Count], "instances that one job handles at the same time, by type; 0 = processors"
    ] = field(default_factory=lambda: {"ResourceModification": 0})
    synchronous_zip_stream: Annotated[bool, "stream archives while they are made"] = True
    zip_use_utf8: Annotated[bool, "keep letters beyond ASCII in the names inside archives"] = False

    # HTTP server
    http_server_enabled: Annotated[bool, "serve the REST API"] = True
    orthanc_explorer_enabled: Annotated[bool, "serve the web page"] = True
    http_port: Annotated[Port, "TCP port of the REST API, 0 = any free one"] = 8042
    http_bind_addresses: Annotated[Texts, "IP addresses to listen on, none = all"] = ()
    http_threads_count: Annotated[Positive, "requests that are handled at the same time"] = 50
    http_describe_errors: Annotated[bool, "describe errors in the body of the answer"] = True
    http_compression_enabled: Annotated[bool, "compress answers for clients that accept it"] = False
    keep_alive: Annotated[bool, "keep connections open between requests"] = True
    keep_alive_timeout: Annotated[Count, "seconds that an idle connection is kept"] = 1
    tcp_no_delay: Annotated[bool, "send small packets at once"] = True
    http_request_timeout: Annotated[Count, "seconds without a byte from or to a client"] = 30
    maximum_request_body_size_mb: Annotated[Count, "largest body in MB, 0 = no limit"] = 8192
    maximum_file_size_in_archive_mb: Annotated[
        Count, "largest file in an uploaded ZIP in MB, 0 = no limit"
    ] = 4096
    rest_api_write_to_file_system_enabled: Annotated[bool, "let clients write files on the server"] = False
    web_dav_enabled: Annotated[bool, "serve the WebDAV share", Effect.NONE] = True
    web_dav_delete_allowed: Annotated[bool, "let WebDAV clients delete resources", Effect.NONE] = False
    web_dav_upload_allowed: Annotated[bool, "let WebDAV clients upload files", Effect.NONE] = True

    # Security
    remote_access_allowed: Annotated[bool, "serve clients on other computers"] = False
    authentication_enabled: Annotated[bool | None, "ask for a user; absent: as RemoteAccessAllowed"] = None
    registered_users: Annotated[dict[str, Any] | None, "users and their passwords or argon2 hashes"] = None
    ssl_enabled: Annotated[bool, "serve HTTPS in place of HTTP"] = False
    ssl_certificate: Annotated[Path, "PEM file with the certificate and the key of the HTTPS server"] = Path(
        "certificate.pem"
    )
    ssl_minimum_protocol_version: Annotated[ProtocolLevel, "oldest TLS: 4 = 1.2, 5 = 1.3"] = 4
    ssl_ciphers_accepted: Annotated[Texts | None, "ciphers of the HTTPS server; absent: a safe list"] = None
    ssl_verify_peers: Annotated[bool, "require certificates from the clients"] = False
    ssl_trusted_client_certificates: Annotated[Path, "PEM file with the certificates of clients"] = Path(
        "trustedClientCertificates.pem"
    )
    deidentify_logs: Annotated[bool, "keep identifying values out of the log", Effect.NONE] = True
    deidentify_logs_dicom_version: Annotated[ProfileVersion, "which tags are identifying", Effect.NONE] = (
        ProfileVersion.PS3_15_2023B
    )

    # DICOM server
    dicom_server_enabled: Annotated[bool, "serve DICOM", Effect.NONE] = True
    dicom_aet: Annotated[str, "application entity title of this server"] = "ORTHANC"
    dicom_check_called_aet: Annotated[bool, "refuse associations that call another title", Effect.NONE] = (
        False
    )
    dicom_port: Annotated[Port, "TCP port of the DICOM server"] = 4242
    default_encoding: Annotated[Encoding, "character set of files that do not name theirs"] = Encoding.LATIN1
    accepted_transfer_syntaxes: Annotated[Texts, "transfer syntaxes that may be stored, with * and ?"] = (
        "1.2.840.10008.1.*",
    )
    deflated_transfer_syntax_accepted: Annotated[bool | None, "old switch of one family", Effect.NONE] = None
    jpeg_transfer_syntax_accepted: Annotated[bool | None, "old switch of one family", Effect.NONE] = None
    jpeg2000_transfer_syntax_accepted: Annotated[bool | None, "old switch of one family", Effect.NONE] = None
    jpeg_lossless_transfer_syntax_accepted: Annotated[
        bool | None, "old switch of one family", Effect.NONE
    ] = None
    jpip_transfer_syntax_accepted: Annotated[bool | None, "old switch of one family", Effect.NONE] = None
    mpeg2_transfer_syntax_accepted: Annotated[bool | None, "old switch of one family", Effect.NONE] = None
    rle_transfer_syntax_accepted: Annotated[bool | None, "old switch of one family", Effect.NONE] = None
    mpeg4_transfer_syntax_accepted: Annotated[bool | None, "old switch of one family", Effect.NONE] = None
    h265_transfer_syntax_accepted: Annotated[bool | None, "old switch of one family", Effect.NONE] = None
    unknown_sop_class_accepted: Annotated[bool, "store instances of unknown SOP classes"] = False
    accepted_sop_classes: Annotated[Texts, "SOP classes that may be stored, none = all known ones"] = ()
    rejected_sop_classes: Annotated[Texts, "SOP classes that are refused"] = ()
    dicom_scp_timeout: Annotated[
        Count, "seconds until an idle association is aborted, 0 = never", Effect.NONE
    ] = 30
    dicom_always_allow_echo: Annotated[bool, "C-ECHO from unknown modalities", Effect.NONE] = True
    dicom_always_allow_store: Annotated[bool, "C-STORE from unknown modalities", Effect.NONE] = True
    dicom_always_allow_find: Annotated[bool, "C-FIND from unknown modalities", Effect.NONE] = False
    dicom_always_allow_find_worklist: Annotated[bool, "worklists to unknown modalities", Effect.NONE] = False
    dicom_always_allow_get: Annotated[bool, "C-GET from unknown modalities", Effect.NONE] = False
    dicom_always_allow_move: Annotated[bool, "C-MOVE from unknown modalities", Effect.NONE] = False
    dicom_check_modality_host: Annotated[
        bool, "compare the address of a modality with its Host", Effect.NONE
    ] = False
    strict_aet_comparison: Annotated[bool, "tell small from capital letters in titles", Effect.NONE] = False
    synchronous_c_move: Annotated[bool, "answer a C-MOVE when its transfer has ended", Effect.NONE] = True
    dicom_threads_count: Annotated[Positive, "associations that are served at the same time"] = 4
    maximum_pdu_length: Annotated[
        Annotated[int, Meta(ge=4096, le=131072)], "largest PDU in bytes", Effect.NONE
    ] = 16384
    storage_commitment_reports_size: Annotated[
        Count, "reports of storage commitment that are kept", Effect.NONE
    ] = 100

    # DICOM TLS, both directions
    dicom_tls_enabled: Annotated[bool, "serve DICOM only over TLS", Effect.NONE] = False
    dicom_tls_certificate: Annotated[Path | None, "PEM file with the certificate for DICOM", Effect.NONE] = (
        None
    )
    dicom_tls_private_key: Annotated[Path | None, "PEM file with the key for DICOM", Effect.NONE] = None
    dicom_tls_trusted_certificates: Annotated[
        Path | None, "PEM file with trusted certificates", Effect.NONE
    ] = None
    dicom_tls_remote_certificate_required: Annotated[
        bool, "require certificates from the others", Effect.NONE
    ] = True
    dicom_tls_minimum_protocol_version: Annotated[
        ProtocolLevel, "oldest TLS, 0 = the library's choice", Effect.NONE
    ] = 0
    dicom_tls_ciphers_accepted: Annotated[
        Texts | None, "ciphers for DICOM; absent: the library's", Effect.NONE
    ] = None

    # Modalities
    dicom_modalities: Annotated[dict[str, Any], "modalities by name: title, host, port", Effect.NONE] = {}
    dicom_modalities_in_database: Annotated[bool, "keep the modalities in the database", Effect.NONE] = False
    dicom_echo_checks_find: Annotated[bool, "follow a C-ECHO by a C-FIND", Effect.NONE] = False
    dicom_scu_timeout: Annotated[
        Count, "seconds until a silent modality is given up, 0 = never", Effect.NONE
    ] = 10
    dicom_scu_preferred_transfer_syntax: Annotated[
        str, "preferred syntax when sending transcoded", Effect.NONE
    ] = "1.2.840.10008.1.2.1"
    dicom_default_retrieve_method: Annotated[RetrieveMethod, "C-MOVE or C-GET"] = RetrieveMethod.C_MOVE
    dicom_association_close_delay: Annotated[
        Count, "seconds that an idle association is kept", Effect.NONE
    ] = 5
    query_retrieve_size: Annotated[Count, "queries that are kept under /queries", Effect.NONE] = 100

    # Peers and other HTTP servers
    orthanc_peers: Annotated[
        dict[str, Any], "other Orthanc servers by name: URL, user, password", Effect.NONE
    ] = {}
    orthanc_peers_in_database: Annotated[bool, "keep the peers in the database", Effect.NONE] = False
    http_proxy: Annotated[str, "proxy as [user:password@]host:port"] = ""
    http_verbose: Annotated[bool, "log outgoing HTTP", Effect.NONE] = False
    http_timeout: Annotated[Count, "seconds until an outgoing request is given up", Effect.NONE] = 60
    https_verify_peers: Annotated[bool, "verify the certificates of other servers"] = True
    https_ca_certificates: Annotated[Path | None, "PEM file with authorities; absent: the system's"] = None

    # Index and searches
    patient_level_enabled: Annotated[bool, "offer the routes of patients"] = True
    limit_find_results: Annotated[Count, "answers of a search above instances, 0 = no limit"] = 0
    limit_find_instances: Annotated[Count, "answers of a search of instances, 0 = no limit"] = 0
    storage_access_on_find: Annotated[
        StorageAccessOnFind, "read files in searches for tags that are not in the index"
    ] = StorageAccessOnFind.ALWAYS
    case_sensitive_pn: Annotated[bool, "tell small from capital letters in names of persons", Effect.NONE] = (
        False
    )
    extra_main_dicom_tags: Annotated[dict[str, Texts] | None, "more tags in the index, by level"] = None
    user_metadata: Annotated[dict[str, UserNumber], "own metadata: name and number"] = {}
    user_content_type: Annotated[dict[str, Any], "own attachments: name, number [and media type]"] = {}
    load_private_dictionary: Annotated[bool, "know the private tags of vendors"] = True
    dictionary: Annotated[dict[str, Any], "own tags: VR, name, multiplicities, private creator"] = {}
    external_dictionaries: Annotated[Paths | None, "dictionary files of DCMTK", Effect.NONE] = None
    default_private_creator: Annotated[str, "private creator of tags that are given without one"] = ""
    warnings: Annotated[dict[str, bool], "which of the numbered warnings are logged"] = field(
        default_factory=_all_warnings
    )

    # Parsing and transcoding
    transcode_dicom_protocol: Annotated[bool, "transcode for receivers that need it", Effect.NONE] = True
    builtin_decoder_transcoder_order: Annotated[TranscoderOrder, "order of decoders", Effect.NONE] = (
        TranscoderOrder.AFTER
    )
    ingest_transcoding: Annotated[str | None, "transfer syntax in which new instances are stored"] = None
    ingest_transcoding_of_uncompressed: Annotated[bool, "transcode uncompressed new instances"] = True
    ingest_transcoding_of_compressed: Annotated[bool, "transcode compressed new instances"] = True
    dicom_lossy_transcoding_quality: Annotated[
        Annotated[int, Meta(ge=1, le=100)], "quality of lossy transcoding, 1 to 100"
    ] = 90
    dicom_parser_threads_count: Annotated[Positive, "threads that parse files"] = 2
    dicom_parser_memory_capacity: Annotated[Count, "limit of parsed files in use in MB"] = 256
    dicom_parser_cache_size: Annotated[Count, "memory for parsed files in MB"] = 256
    transcoder_threads_count: Annotated[Positive, "threads that transcode"] = 4
    transcoder_memory_capacity: Annotated[Count, "limit of transcoded files in use in MB"] = 256
    transcoder_cache_size: Annotated[Count, "memory for transcoded files in MB"] = 256
    maximum_concurrent_dcmtk_transcoders: Annotated[Count, "limit of transcoders", Effect.NONE] = 0
    sequential_dicom_reader_threads_count: Annotated[
        Positive | None, "threads that read ahead; absent: as StorageLoaderThreadsCount"
    ] = None
    sequential_dicom_reader_window_size: Annotated[Positive, "instances that are read ahead", Effect.NONE] = 4
    sequential_dicom_reader_window_capacity: Annotated[
        Count, "limit of what is read ahead in MB", Effect.NONE
    ] = 128

    # Only in this server
    storage_backend: Annotated[StorageBackend, "where files live: filesystem, or memory for trials"] = (
        StorageBackend.FILESYSTEM
    )
    index_backend: Annotated[IndexBackend, "where the index lives: sqlite, or memory for trials"] = (
        IndexBackend.SQLITE
    )
    maximum_archive_entries: Annotated[Positive, "largest number of files in an uploaded ZIP"] = 100_000
    maximum_archive_size_mb: Annotated[Positive, "largest sum of the files in an uploaded ZIP in MB"] = 65_536
    media_archive_maximum_size: Annotated[
        Count, "limit of all archives of asynchronous jobs in MB, 0 = none; the newest is always kept"
    ] = 0
    media_archive_time_to_live: Annotated[
        Count, "seconds that the archive of an asynchronous job is kept after its end, 0 = no limit"
    ] = 0
    shutdown_grace_period: Annotated[
        Annotated[float, Meta(ge=0, le=3600)], "seconds for running jobs to reach a boundary at the end"
    ] = 1.0
    job_timeout: Annotated[Seconds, "seconds that a job may run unless it says otherwise, 0 = no limit"] = 0
    job_cancel_timeout: Annotated[
        Seconds, "seconds that a job may take to remove what it leaves when it fails or is cancelled"
    ] = 5.0
    jobs_retry: Annotated[
        JobsRetry,
        "when jobs are tried again after a transient error: in Types and Destinations by name"
        " MaxAttempts, Delay, Backoff, MaxDelay",
    ] = JobsRetry()
    jobs_limits: Annotated[
        JobsLimits,
        "jobs that run at the same time: in Types and Destinations by name, * is any that is not there",
    ] = JobsLimits()
    failed_jobs_history_size: Annotated[
        Count | None, "failed jobs that are kept; absent: JobsHistorySize counts them with the others"
    ] = None
    jobs_history_maximum_age: Annotated[Seconds, "seconds that ended jobs are kept, 0 = no limit"] = 0
    failed_jobs_history_maximum_age: Annotated[
        Seconds | None, "seconds that failed jobs are kept, 0 = no limit; absent: JobsHistoryMaximumAge"
    ] = None
    show_retry_as_pending: Annotated[bool, "show the state Retry as Pending"] = False
    concurrent_connections: Annotated[Positive, "HTTP connections that are open at the same time"] = 4096
    orthanc_explorer2: Annotated[
        ExplorerOptions | None,
        "web page: Root is the folder with its built files [, Theme, UiOptions ...], see docs/explorer.md",
    ] = None
    pseudonym_keys: Annotated[
        dict[str, Secret], "secrets of at least 16 characters by name, see docs/modification.md"
    ] = {}
    webhooks: Annotated[
        tuple[Webhook, ...],
        "who is told of events: Url, Events [, Secret, Timeout, Retry], see docs/webhooks.md",
    ] = ()

    @property
    def jobs_slots(self) -> int:
        """Return how many jobs run at the same time: at least 1."""
        return self.concurrent_jobs or os.cpu_count() or 1

    @property
    def index_folder(self) -> Path:
        """Return the folder of the index, given or not."""
        return self.index_directory or self.storage_directory

    @property
    def is_authentication_enabled(self) -> bool:
        """Return whether clients must name a user, given or not."""
        given = self.authentication_enabled
        return self.remote_access_allowed if given is None else given

    @property
    def sequential_reader_threads(self) -> int:
        """Return how many threads read ahead, given or not."""
        return self.sequential_dicom_reader_threads_count or self.storage_loader_threads_count
