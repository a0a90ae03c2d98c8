"""DICOM tags as the index knows them: the main DICOM tags of each level, their names and signatures.

A tag is written `gggg,eeee` in lower-case hexadecimal, as in the API. A table of main tags is a value that is
handed on, so that a configuration can extend it.
Source: the Orthanc Book, "Main DICOM tags"; `/system`, field `MainDicomTags`.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from .resource import ResourceLevel


class OwnTag(Struct, frozen=True):
    """An entry of the option `Dictionary`: a tag that the configuration adds to those that are known."""

    number: int
    """group * 65536 + element; of a private tag only the lower byte of the element tells it apart."""
    vr: str
    name: str
    least: int = 1
    most: int = 1
    """The limits of the number of values; `most` 0 is none."""
    creator: str = ""


class MainTag(Struct, frozen=True):
    """A tag that is copied into the index: `gggg,eeee`, the name that the API shows, and its usual VR."""

    tag: str
    name: str
    vr: str

    @property
    def number(self) -> int:
        """The tag as a number: group * 65536 + element."""
        return int(self.tag[:4] + self.tag[5:], 16)


MainDicomTags = Mapping[ResourceLevel, tuple[MainTag, ...]]
"""The main tags of each of the four levels, by ascending tag."""


def signature(level: ResourceLevel, table: MainDicomTags | None = None) -> str:
    """Return the tags of a level, ascending and joined by `;`: the metadata MainDicomTagsSignature."""
    rows = (table or MAIN_DICOM_TAGS)[level]
    return ";".join(sorted(row.tag for row in rows))


def extended(table: MainDicomTags, extra: Mapping[ResourceLevel, Iterable[MainTag]]) -> MainDicomTags:
    """Return `table` with further tags; one that a level has already is passed over."""
    return {level: _merge(rows, extra.get(level, ())) for level, rows in table.items()}


def _merge(rows: tuple[MainTag, ...], extra: Iterable[MainTag]) -> tuple[MainTag, ...]:
    by_tag = {row.tag: row for row in extra} | {row.tag: row for row in rows}
    return tuple(by_tag[tag] for tag in sorted(by_tag))


_PATIENT = """
0010,0010 PN PatientName
0010,0020 LO PatientID
0010,0030 DA PatientBirthDate
0010,0040 CS PatientSex
0010,1000 LO OtherPatientIDs
"""
_STUDY = """
0008,0020 DA StudyDate
0008,0030 TM StudyTime
0008,0050 SH AccessionNumber
0008,0080 LO InstitutionName
0008,0090 PN ReferringPhysicianName
0008,0201 SH TimezoneOffsetFromUTC
0008,1030 LO StudyDescription
0020,000d UI StudyInstanceUID
0020,0010 SH StudyID
0032,1032 PN RequestingPhysician
0032,1060 LO RequestedProcedureDescription
"""
_SERIES = """
0008,0021 DA SeriesDate
0008,0031 TM SeriesTime
0008,0060 CS Modality
0008,0070 LO Manufacturer
0008,0201 SH TimezoneOffsetFromUTC
0008,1010 SH StationName
0008,103e LO SeriesDescription
0008,1070 PN OperatorsName
0018,0010 LO ContrastBolusAgent
0018,0015 CS BodyPartExamined
0018,0024 SH SequenceName
0018,1030 LO ProtocolName
0018,1090 IS CardiacNumberOfImages
0018,1400 LO AcquisitionDeviceProcessingDescription
0020,000e UI SeriesInstanceUID
0020,0011 IS SeriesNumber
0020,0037 DS ImageOrientationPatient
0020,0105 IS NumberOfTemporalPositions
0020,1002 IS ImagesInAcquisition
0040,0244 DA PerformedProcedureStepStartDate
0040,0245 TM PerformedProcedureStepStartTime
0040,0254 LO PerformedProcedureStepDescription
0040,0275 SQ RequestAttributesSequence
0054,0081 US NumberOfSlices
0054,0101 US NumberOfTimeSlices
0054,1000 CS SeriesType
"""
_INSTANCE = """
0008,0012 DA InstanceCreationDate
0008,0013 TM InstanceCreationTime
0008,0018 UI SOPInstanceUID
0020,0012 IS AcquisitionNumber
0020,0013 IS InstanceNumber
0020,0032 DS ImagePositionPatient
0020,0037 DS ImageOrientationPatient
0020,0100 IS TemporalPositionIdentifier
0020,4000 LT ImageComments
0028,0008 IS NumberOfFrames
0054,1330 US ImageIndex
"""


def _rows(text: str) -> tuple[MainTag, ...]:
    words = (line.split() for line in text.strip().splitlines())
    return tuple(MainTag(tag, name, vr) for tag, vr, name in words)


MAIN_DICOM_TAGS: MainDicomTags = {
    ResourceLevel.PATIENT: _rows(_PATIENT),
    ResourceLevel.STUDY: _rows(_STUDY),
    ResourceLevel.SERIES: _rows(_SERIES),
    ResourceLevel.INSTANCE: _rows(_INSTANCE),
}
