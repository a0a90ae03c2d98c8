"""What the server says of itself. Source: `GET /system`, `GET /statistics`."""

from collections.abc import Mapping
from typing import Any

from ... import __version__
from ...config.choice import OverwriteInstances
from ...config.settings import Settings
from ...model.resource import Statistics
from ...services.context import About, ServerContext
from ..answers import StatisticsAnswer
from ..routing import Doc, Routes
from ..wire import AnyAnswer, Request, json_answer

COMPATIBLE_VERSION = "1.13.0"
API_VERSION = 31
_DATABASE_VERSION = 6
_MEBIBYTE = 1024 * 1024

_CAPABILITIES = {
    "HasExtendedChanges": True,
    "HasExtendedFind": True,
    "HasKeyValueStores": False,
    "HasQueues": False,
    "HasReserveQueueValue": False,
}

routes = Routes()


@routes.get("/system", hot=True, doc=Doc(answer=dict[str, Any]))
async def get_system(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer the version and the options that clients look at."""
    return json_answer(system_json(context.settings, context.about, context.indexed_tags.signatures))


@routes.get("/statistics", hot=True, doc=Doc(answer=StatisticsAnswer))
async def get_statistics(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer how much is stored."""
    return json_answer(statistics_answer(await context.library.statistics()))


def statistics_answer(statistics: Statistics) -> StatisticsAnswer:
    """Return what `/statistics` answers: sizes in bytes are texts there."""
    return StatisticsAnswer(
        count_instances=statistics.instances,
        count_patients=statistics.patients,
        count_series=statistics.series,
        count_studies=statistics.studies,
        total_disk_size=str(statistics.disk_size),
        total_disk_size_mb=statistics.disk_size // _MEBIBYTE,
        total_uncompressed_size=str(statistics.uncompressed_size),
        total_uncompressed_size_mb=statistics.uncompressed_size // _MEBIBYTE,
    )


def system_json(settings: Settings, about: About, signatures: Mapping[str, str]) -> dict[str, Any]:
    """Return the JSON of `/system`."""
    return {
        "ApiVersion": API_VERSION,
        "Capabilities": _CAPABILITIES,
        "CheckRevisions": settings.check_revisions,
        "DatabaseBackendPlugin": None,
        "DatabaseServerIdentifier": about.identifier,
        "DatabaseVersion": _DATABASE_VERSION,
        "DicomAet": settings.dicom_aet,
        "DicomDefaultRetrieveMethod": settings.dicom_default_retrieve_method,
        "DicomPort": settings.dicom_port,
        "HasLabels": True,
        "HttpPort": settings.http_port,
        "IngestTranscoding": settings.ingest_transcoding or "",
        "IsHttpServerSecure": about.is_http_secure,
        "MainDicomTags": signatures,
        "MaximumPatientCount": settings.maximum_patient_count,
        "MaximumStorageMode": settings.maximum_storage_mode.value,
        "MaximumStorageSize": settings.maximum_storage_size,
        "Name": settings.name,
        "OrthancTrio": __version__,
        "OverwriteInstances": settings.overwrite_instances is not OverwriteInstances.NEVER,
        "OverwriteInstancesMode": settings.overwrite_instances.value,
        "PatientLevelEnabled": settings.patient_level_enabled,
        "Performance": _performance_json(settings),
        "PluginsEnabled": True,
        "ReadOnly": settings.read_only,
        "StorageAreaPlugin": None,
        "StorageCompression": settings.storage_compression,
        "StoreMD5ForAttachments": settings.store_md5_for_attachments,
        "ThirdPartyPatches": [],
        "ThirdPartyVersions": about.third_party_versions,
        "UserMetadata": settings.user_metadata,
        "Version": COMPATIBLE_VERSION,
    }


def _performance_json(settings: Settings) -> dict[str, int]:
    return {
        "ConcurrentJobs": settings.jobs_slots,
        "DicomParserCacheSize": settings.dicom_parser_cache_size,
        "DicomParserMemoryCapacity": settings.dicom_parser_memory_capacity,
        "DicomParserThreadsCount": settings.dicom_parser_threads_count,
        "DicomThreadsCount": settings.dicom_threads_count,
        "HttpThreadsCount": settings.http_threads_count,
        "MaximumStorageCacheSize": settings.maximum_storage_cache_size,
        "SequentialDicomReaderThreadsCount": settings.storage_loader_threads_count,
        "StorageLoaderThreadsCount": settings.storage_loader_threads_count,
        "StorageMemoryCapacity": settings.storage_memory_capacity,
        "TranscoderCacheSize": settings.transcoder_cache_size,
        "TranscoderMemoryCapacity": settings.transcoder_memory_capacity,
        "TranscoderThreadsCount": settings.transcoder_threads_count,
    }
