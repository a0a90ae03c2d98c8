"""Resources as the index knows them: levels, identifiers, attachments, metadata.

Source: the Orthanc Book, "Orthanc identifiers", "Metadata", "Attachments".
"""

import hashlib
from enum import IntEnum

from msgspec import Struct


class ResourceLevel(IntEnum):
    """The four levels of the DICOM model of the real world (PS3.3 §7), from the top down."""

    PATIENT = 1
    STUDY = 2
    SERIES = 3
    INSTANCE = 4

    @property
    def type_name(self) -> str:
        """The word of the API for one resource of this level: `Patient`, `Study`, ..."""
        return _TYPE_NAMES[self]

    @property
    def collection(self) -> str:
        """The word of the API for the list of this level: `patients`, `studies`, ..."""
        return _COLLECTIONS[self]


_TYPE_NAMES = {
    ResourceLevel.PATIENT: "Patient",
    ResourceLevel.STUDY: "Study",
    ResourceLevel.SERIES: "Series",
    ResourceLevel.INSTANCE: "Instance",
}
_COLLECTIONS = {
    ResourceLevel.PATIENT: "patients",
    ResourceLevel.STUDY: "studies",
    ResourceLevel.SERIES: "series",
    ResourceLevel.INSTANCE: "instances",
}


class Metadata(IntEnum):
    """The metadata that the server itself writes; numbers from 1024 on belong to the users."""

    INDEX_IN_SERIES = 1
    RECEPTION_DATE = 2
    REMOTE_AET = 3
    EXPECTED_NUMBER_OF_INSTANCES = 4
    MODIFIED_FROM = 5
    ANONYMIZED_FROM = 6
    LAST_UPDATE = 7
    ORIGIN = 8
    TRANSFER_SYNTAX = 9
    SOP_CLASS_UID = 10
    REMOTE_IP = 11
    CALLED_AET = 12
    HTTP_USERNAME = 13
    PIXEL_DATA_OFFSET = 14
    MAIN_DICOM_TAGS_SIGNATURE = 15
    MAIN_DICOM_SEQUENCES = 16
    PIXEL_DATA_VR = 17


class AttachmentType(IntEnum):
    """The kinds of files that the server itself attaches; numbers from 1024 on belong to the users."""

    DICOM = 1
    DICOM_AS_JSON = 2
    DICOM_UNTIL_PIXEL_DATA = 3


class Compression(IntEnum):
    """The forms in which a file lies in the storage area; the numbers are those of the index."""

    NONE = 0
    DEFLATE = 3
    """A raw deflate stream (RFC 1951)."""


class DicomIdentifiers(Struct, frozen=True):
    """The four identifiers of an instance, as text in UTF-8 without trailing padding.

    `patient_id` may be empty; the three UIDs are not.
    """

    patient_id: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str

    def orthanc_id(self, level: ResourceLevel) -> str:
        """Return the Orthanc identifier of the resource of `level` that the instance belongs to."""
        parts = (self.patient_id, self.study_instance_uid, self.series_instance_uid, self.sop_instance_uid)
        return _hash("|".join(parts[:level]))


def _hash(text: str) -> str:
    digest = hashlib.sha1(text.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()
    return "-".join(digest[i : i + 8] for i in range(0, 40, 8))


class Attachment(Struct, frozen=True, kw_only=True, gc=False):
    """One file that belongs to a resource. `uuid` is its key in the storage area.

    `size` and `md5` are those of what is stored, the others those of the content.
    """

    type: int
    uuid: str
    size: int
    uncompressed_size: int
    compression: int = Compression.NONE
    md5: str = ""
    uncompressed_md5: str = ""
    crc32: int = 0
    """Of the content; known if it is stored compressed."""
    revision: int = 0
    """How often users have replaced it."""


class ResourceRef(Struct, frozen=True):
    """A resource by its level and its Orthanc identifier."""

    level: ResourceLevel
    id: str


class Facts(Struct, frozen=True, kw_only=True):
    """All that the index knows of one resource and that its JSON shows.

    `tags` map `gggg,eeee` to the value; so do `patient_tags`, the copy that a study has of those of its
    patient.
    `children` are sorted Orthanc identifiers. `metadata` maps numbers to values.
    """

    level: ResourceLevel
    id: str
    parent: str | None
    tags: dict[str, str]
    metadata: dict[int, str]
    children: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    patient_tags: dict[str, str] | None = None
    indexes_in_series: tuple[str | None, ...] = ()
    """Series only: the metadata IndexInSeries of each child."""
    dicom: Attachment | None = None
    """Instances only: the DICOM file."""
    is_protected: bool = False
    """Patients only."""


SeriesPath = tuple[str, str, str]
"""A series: the Orthanc identifiers of its patient, of its study, and its own."""


class LeafInstance(Struct, frozen=True, kw_only=True, gc=False):
    """An instance with what an archive needs to name and copy it."""

    id: str
    sop_instance_uid: str
    instance_number: str | None
    transfer_syntax: str
    attachment: Attachment


class Statistics(Struct, frozen=True, kw_only=True):
    """Counts of resources and sizes in bytes over all attachments."""

    patients: int
    studies: int
    series: int
    instances: int
    disk_size: int
    uncompressed_size: int
