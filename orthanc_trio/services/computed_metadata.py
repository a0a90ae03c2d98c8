"""The metadata that the file of an instance alone decides. Source: the Orthanc Book, "Metadata"."""

from ..dicom.parse import ParsedInstance
from ..model.resource import Metadata, ResourceLevel
from ..model.tags import MainDicomTags, signature


class ComputedMetadata:
    """Computes the metadata of resources of all levels."""

    NUMBERS = frozenset(
        (
            Metadata.INDEX_IN_SERIES,
            Metadata.EXPECTED_NUMBER_OF_INSTANCES,
            Metadata.TRANSFER_SYNTAX,
            Metadata.SOP_CLASS_UID,
            Metadata.PIXEL_DATA_OFFSET,
            Metadata.MAIN_DICOM_TAGS_SIGNATURE,
            Metadata.MAIN_DICOM_SEQUENCES,
            Metadata.PIXEL_DATA_VR,
        )
    )

    def __init__(self, main_dicom_tags: MainDicomTags) -> None:
        self.signatures = {level: signature(level, main_dicom_tags) for level in ResourceLevel}

    def of(self, level: ResourceLevel, parsed: ParsedInstance) -> dict[int, str]:
        """Return the metadata of the resource of `level` that an instance is, or belongs to."""
        values: dict[int, str | int | None] = {
            Metadata.MAIN_DICOM_TAGS_SIGNATURE: self.signatures[level],
            Metadata.MAIN_DICOM_SEQUENCES: parsed.sequences.get(level),
        }
        if level is ResourceLevel.SERIES:
            values[Metadata.EXPECTED_NUMBER_OF_INSTANCES] = parsed.expected_number_of_instances
        if level is ResourceLevel.INSTANCE:
            values |= {
                Metadata.INDEX_IN_SERIES: parsed.index_in_series,
                Metadata.TRANSFER_SYNTAX: parsed.transfer_syntax,
                Metadata.SOP_CLASS_UID: parsed.sop_class_uid,
                Metadata.PIXEL_DATA_OFFSET: parsed.pixel_data_offset,
                Metadata.PIXEL_DATA_VR: parsed.pixel_data_vr,
            }
        return {number: str(value) for number, value in values.items() if value is not None}
