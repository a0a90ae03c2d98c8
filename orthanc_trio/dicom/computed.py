"""Tags that no file holds: what a server knows of a resource and its descendants. Source: PS3.4 §C.3.4."""

from msgspec import Struct

from ..model.resource import Metadata, ResourceLevel

PATIENT, STUDY, SERIES, INSTANCE = ResourceLevel

MODALITIES_IN_STUDY = "0008,0061"
MODALITY = "0008,0060"


class CountBelow(Struct, frozen=True):
    """The number of descendants at a level."""

    level: ResourceLevel


class TagBelow(Struct, frozen=True):
    r"""The values of a main tag of the descendants at a level, each once, sorted and joined by `\`."""

    level: ResourceLevel
    tag: str


class MetadataBelow(Struct, frozen=True):
    r"""The values of a metadata of the descendants at a level, each once, sorted and joined by `\`."""

    level: ResourceLevel
    type: int


class Always(Struct, frozen=True):
    """The same for all."""

    value: str


Computation = CountBelow | TagBelow | MetadataBelow | Always


class ComputedTag(Struct, frozen=True):
    """A tag with its name and VR, the only level that has it, and where it comes from."""

    name: str
    vr: str
    level: ResourceLevel
    source: Computation


_SOP_CLASSES = MetadataBelow(INSTANCE, Metadata.SOP_CLASS_UID)

COMPUTED = {
    "0008,0056": ComputedTag("InstanceAvailability", "CS", INSTANCE, Always("ONLINE")),
    MODALITIES_IN_STUDY: ComputedTag("ModalitiesInStudy", "CS", STUDY, TagBelow(SERIES, MODALITY)),
    "0008,0062": ComputedTag("SOPClassesInStudy", "UI", STUDY, _SOP_CLASSES),
    "0020,1200": ComputedTag("NumberOfPatientRelatedStudies", "IS", PATIENT, CountBelow(STUDY)),
    "0020,1202": ComputedTag("NumberOfPatientRelatedSeries", "IS", PATIENT, CountBelow(SERIES)),
    "0020,1204": ComputedTag("NumberOfPatientRelatedInstances", "IS", PATIENT, CountBelow(INSTANCE)),
    "0020,1206": ComputedTag("NumberOfStudyRelatedSeries", "IS", STUDY, CountBelow(SERIES)),
    "0020,1208": ComputedTag("NumberOfStudyRelatedInstances", "IS", STUDY, CountBelow(INSTANCE)),
    "0020,1209": ComputedTag("NumberOfSeriesRelatedInstances", "IS", SERIES, CountBelow(INSTANCE)),
}
"""By `gggg,eeee`."""
