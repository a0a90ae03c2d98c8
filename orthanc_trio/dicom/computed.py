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
    """The only level that has a tag, and where it comes from."""

    level: ResourceLevel
    source: Computation


COMPUTED = {
    "0008,0056": ComputedTag(INSTANCE, Always("ONLINE")),  # InstanceAvailability
    MODALITIES_IN_STUDY: ComputedTag(STUDY, TagBelow(SERIES, MODALITY)),
    "0008,0062": ComputedTag(STUDY, MetadataBelow(INSTANCE, Metadata.SOP_CLASS_UID)),  # SOPClassesInStudy
    "0020,1200": ComputedTag(PATIENT, CountBelow(STUDY)),  # NumberOfPatientRelatedStudies, and so on
    "0020,1202": ComputedTag(PATIENT, CountBelow(SERIES)),
    "0020,1204": ComputedTag(PATIENT, CountBelow(INSTANCE)),
    "0020,1206": ComputedTag(STUDY, CountBelow(SERIES)),
    "0020,1208": ComputedTag(STUDY, CountBelow(INSTANCE)),
    "0020,1209": ComputedTag(SERIES, CountBelow(INSTANCE)),
}
"""By `gggg,eeee`."""
