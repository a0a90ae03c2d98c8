"""The configuration, translated into the options that each part of the server takes.

So no part but this one depends on the names of Orthanc's options, and each can be used without them.
"""

import hashlib
import importlib.metadata
import socket
import ssl
import uuid

import msgspec

from .config.choice import StorageAccessOnFind
from .config.dictionary import own_tags
from .config.settings import Settings, UserNumber
from .config.webhook import WebhookRetry
from .dicom.dictionary import Dictionary
from .dicom.main_tags import main_dicom_tags
from .httpd.options import HttpOptions
from .httpd.tls import TlsOptions, server_context
from .jobs.options import EngineOptions, HistoryOptions, Limits, Retries
from .model.errors import BadParameterType, ParameterOutOfRange, UnknownDicomTag
from .model.job import RetryPolicy
from .model.resource import ResourceLevel
from .model.tags import MainDicomTags
from .remote.client import HttpClientOptions
from .rest.auth import AccessOptions, AccessPolicy
from .rest.front import DoorOptions
from .rest.requests import BodyLimits
from .services.attachments import AttachmentOptions, ContentType
from .services.context import About
from .services.finder import FindLimits
from .services.ingest import IngestOptions
from .services.ingest_transcoding import TranscodingRules
from .services.limits import StorageLimits
from .services.rewriting import RewritingOptions
from .services.upload import UploadLimits
from .services.webhooks import KIND as WEBHOOK

_MEBIBYTE = 1024 * 1024
_WEBHOOKS_PER_HOST = 4
_SHOWN_PACKAGES = (
    "h11",
    "httptools",
    "hypercorn",
    "isal",
    "msgspec",
    "pydicom",
    "quart",
    "quart-trio",
    "trio",
)


def access_options(settings: Settings) -> AccessOptions:
    """Return who may enter."""
    return AccessOptions(
        remote_access_allowed=settings.remote_access_allowed,
        authentication_enabled=settings.authentication_enabled,
        registered_users=settings.registered_users,
    )


def http_options(settings: Settings) -> HttpOptions:
    """Return the options of the HTTP server. Raises what `server_context` raises."""
    return HttpOptions(
        addresses=tuple(settings.http_bind_addresses),
        port=settings.http_port,
        tls=_tls_context(settings),
        keep_alive=settings.keep_alive,
        keep_alive_timeout_s=settings.keep_alive_timeout,
        request_timeout_s=settings.http_request_timeout or float("inf"),
        grace_s=settings.shutdown_grace_period,
        no_delay=settings.tcp_no_delay,
        max_connections=settings.concurrent_connections,
    )


def _tls_context(settings: Settings) -> ssl.SSLContext | None:
    if not settings.ssl_enabled:
        return None
    return server_context(
        TlsOptions(
            certificate=settings.ssl_certificate,
            minimum_level=settings.ssl_minimum_protocol_version,
            ciphers=settings.ssl_ciphers_accepted,
            trusted_clients=settings.ssl_trusted_client_certificates if settings.ssl_verify_peers else None,
        )
    )


def door_options(settings: Settings) -> DoorOptions:
    """Return the options of the REST API."""
    limit = settings.maximum_request_body_size_mb * _MEBIBYTE
    return DoorOptions(
        describe_errors=settings.http_describe_errors,
        compress=settings.http_compression_enabled,
        limits=BodyLimits(total=limit or None),
        is_read_only=settings.read_only,
        has_patients=settings.patient_level_enabled,
    )


def dictionary(settings: Settings) -> Dictionary:
    """Return what is known of tags. Raises AlreadyExistingTag if that contradicts itself."""
    return Dictionary(tuple(own_tags(settings.dictionary)), knows_vendors=settings.load_private_dictionary)


def main_tags(settings: Settings, dictionary: Dictionary) -> MainDicomTags:
    """Return which tags the index holds. Raises UnknownDicomTag, ParameterOutOfRange for an unknown level."""
    levels = {level.type_name: level for level in ResourceLevel}
    extra = settings.extra_main_dicom_tags or {}
    unknown = extra.keys() - levels.keys()
    if unknown:
        raise ParameterOutOfRange(f"ExtraMainDicomTags has unknown levels: {', '.join(sorted(unknown))}")
    try:
        return main_dicom_tags({levels[name]: tags for name, tags in extra.items()}, dictionary)
    except UnknownDicomTag as error:
        raise UnknownDicomTag(f"ExtraMainDicomTags has an unknown tag: {error.details}") from error


def may_read_files(settings: Settings) -> bool:
    """Return whether files are read for tags that the index does not hold."""
    return settings.storage_access_on_find is not StorageAccessOnFind.NEVER


def find_limits(settings: Settings) -> FindLimits:
    """Return how much a search may find."""
    return FindLimits(settings.limit_find_results or None, settings.limit_find_instances or None)


def ingest_options(settings: Settings, dictionary: Dictionary) -> IngestOptions:
    """Return how instances are stored."""
    return IngestOptions(
        overwrite=settings.overwrite_instances,
        stores_md5=settings.store_md5_for_attachments,
        compresses=settings.storage_compression,
        stores_dicom=settings.store_dicom,
        is_read_only=settings.read_only,
        limits=storage_limits(settings),
        dictionary=dictionary,
        main_dicom_tags=main_tags(settings, dictionary),
    )


def storage_limits(settings: Settings) -> StorageLimits:
    """Return how much may be stored."""
    return StorageLimits(
        bytes=settings.maximum_storage_size * _MEBIBYTE,
        patients=settings.maximum_patient_count,
        mode=settings.maximum_storage_mode,
    )


def transcoding_rules(settings: Settings) -> TranscodingRules | None:
    """Return how new instances are transcoded, None if they are not."""
    if not settings.ingest_transcoding:
        return None
    return TranscodingRules(
        syntax=settings.ingest_transcoding,
        of_uncompressed=settings.ingest_transcoding_of_uncompressed,
        of_compressed=settings.ingest_transcoding_of_compressed,
        quality=settings.dicom_lossy_transcoding_quality,
    )


def attachment_options(settings: Settings) -> AttachmentOptions:
    """Return how attachments are stored."""
    return AttachmentOptions(
        stores_md5=settings.store_md5_for_attachments,
        compresses=settings.storage_compression,
        checks_revisions=settings.check_revisions,
        limits=storage_limits(settings),
        body_bytes=settings.maximum_request_body_size_mb * _MEBIBYTE,
    )


def content_types(settings: Settings) -> dict[str, ContentType]:
    """Return the types of attachments that the configuration declares. Raises BadParameterType."""
    try:
        types = msgspec.convert(settings.user_content_type, dict[str, UserNumber | ContentType])
    except msgspec.ValidationError as exc:
        raise BadParameterType(f'The configuration option "UserContentType" is wrong: {exc}') from None
    return {name: ContentType(type) if isinstance(type, int) else type for name, type in types.items()}


def rewriting_options(settings: Settings, dictionary: Dictionary) -> RewritingOptions:
    """Return how instances are made of others."""
    return RewritingOptions(
        stores_md5=settings.store_md5_for_attachments,
        dictionary=dictionary,
    )


def upload_limits(settings: Settings) -> UploadLimits:
    """Return what an upload may cost."""
    return UploadLimits(
        body_bytes=settings.maximum_request_body_size_mb * _MEBIBYTE,
        member_bytes=settings.maximum_file_size_in_archive_mb * _MEBIBYTE,
        archive_entries=settings.maximum_archive_entries,
        archive_bytes=settings.maximum_archive_size_mb * _MEBIBYTE,
    )


def engine_options(settings: Settings) -> EngineOptions:
    """Return how jobs run."""
    limits, retry = settings.jobs_limits, settings.jobs_retry
    return EngineOptions(
        concurrent_jobs=settings.jobs_slots,
        history=HistoryOptions(
            size=settings.jobs_history_size,
            failed_size=settings.failed_jobs_history_size,
            max_age_s=settings.jobs_history_maximum_age,
            failed_max_age_s=settings.failed_jobs_history_maximum_age,
        ),
        timeout_s=settings.job_timeout,
        cancel_timeout_s=settings.job_cancel_timeout,
        retries=Retries(types=_policies(retry.types), destinations=_policies(retry.destinations)),
        limits=Limits(
            types=_webhook_types(settings) | limits.types,
            destinations=_webhook_hosts(settings) | limits.destinations,
        ),
        slotless=frozenset((WEBHOOK,)),
    )


def _webhook_hosts(settings: Settings) -> dict[str, int]:
    return {webhook.host: _WEBHOOKS_PER_HOST for webhook in settings.webhooks}


def _webhook_types(settings: Settings) -> dict[str, int]:
    """Return a limit that lets each host have its own: none waits for another one."""
    return {WEBHOOK: _WEBHOOKS_PER_HOST * max(len(_webhook_hosts(settings)), 1)}


def _policies(retries: dict[str, WebhookRetry]) -> dict[str, RetryPolicy]:
    return {
        name: RetryPolicy(
            max_attempts=retry.max_attempts,
            delay_s=retry.delay,
            backoff=retry.backoff,
            max_delay_s=retry.max_delay,
        )
        for name, retry in retries.items()
    }


def http_client_options(settings: Settings) -> HttpClientOptions:
    """Return how other servers are called."""
    return HttpClientOptions(
        verifies_peers=settings.https_verify_peers,
        authorities=settings.https_ca_certificates,
        proxy=settings.http_proxy,
    )


def about(settings: Settings, policy: AccessPolicy) -> About:
    """Return what the server says of itself."""
    return About(
        identifier=settings.database_server_identifier or _identifier(settings),
        is_http_secure=policy.is_secure,
        third_party_versions={name: importlib.metadata.version(name) for name in _SHOWN_PACKAGES},
    )


def _identifier(settings: Settings) -> str:
    """Return a hash that stays the same for this host with this configuration."""
    facts = (
        socket.gethostname(),
        uuid.getnode(),
        settings.dicom_aet,
        settings.dicom_port,
        settings.http_port,
    )
    digest = hashlib.sha1(repr(facts).encode(), usedforsecurity=False).hexdigest()
    return "-".join(digest[start : start + 8] for start in range(0, 40, 8))
