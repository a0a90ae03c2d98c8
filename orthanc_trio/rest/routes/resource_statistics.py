"""Counts and sizes below one resource. Source: the Orthanc Book, `/{level}/{id}/statistics`.

As in Orthanc 1.13.0, a resource that does not exist, or is of another level, has zeros.
"""

from typing import Any

from ...model.resource import AttachmentType, ResourceLevel, Statistics
from ...services.context import ServerContext
from ..routing import Doc, Routes
from ..wire import AnyAnswer, Request, json_answer

_MEBIBYTE = 1024 * 1024
_NOTHING = Statistics(patients=0, studies=0, series=0, instances=0, disk_size=0, uncompressed_size=0)

routes = Routes()


def _mount(level: ResourceLevel) -> None:
    @routes.get(f"/{level.collection}/{{id}}/statistics", doc=Doc(answer=dict[str, Any]))
    async def get_statistics(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
        everything, dicom = _NOTHING, _NOTHING
        if await context.library.describe(level, id) is not None:
            everything = await context.library.statistics_of(id)
            dicom = await context.library.statistics_of(id, AttachmentType.DICOM)
        return json_answer(statistics_json(level, everything, dicom))


def statistics_json(level: ResourceLevel, everything: Statistics, dicom: Statistics) -> dict[str, object]:
    """Return the JSON of a resource: counts of what is below it, sizes of all files and of DICOM alone."""
    counts = {
        ResourceLevel.STUDY: ("CountStudies", everything.studies),
        ResourceLevel.SERIES: ("CountSeries", everything.series),
        ResourceLevel.INSTANCE: ("CountInstances", everything.instances),
    }
    sizes = {
        "DiskSize": everything.disk_size,
        "UncompressedSize": everything.uncompressed_size,
        "DicomDiskSize": dicom.disk_size,
        "DicomUncompressedSize": dicom.uncompressed_size,
    }
    shown: dict[str, object] = dict(count for below, count in counts.items() if below > level)
    shown |= {name: str(size) for name, size in sizes.items()}
    shown |= {f"{name}MB": size // _MEBIBYTE for name, size in sizes.items()}
    return dict(sorted(shown.items()))


for _level in ResourceLevel:
    _mount(_level)
