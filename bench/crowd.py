"""Many patients with few small instances each: made from one file by exchanging bytes of equal length.

Patient `n` has PatientID `PATn`, PatientName `DOEn^JANE`, each with six digits, and one study.
"""

import io
from collections.abc import Iterator

from msgspec import Struct
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

_ROOT = "1.2.826.0.1.3680043.10.1043"
_MARK = "987654"  # a number of six digits, where that of the patient comes
_MARK_SERIES, _MARK_INSTANCE = "765432", "654321"


class Crowd(Struct, frozen=True):
    """How many: `per_study` instances in each study, in series of `per_series`."""

    patients: int
    per_study: int
    per_series: int = 5

    @property
    def instances(self) -> int:
        """The number of all instances."""
        return self.patients * self.per_study

    def files(self) -> Iterator[bytes]:
        """Yield all instances, one patient after the other."""
        template = _template()
        for patient in range(self.patients):
            study = template.replace(_MARK.encode(), f"{patient:06}".encode())
            for number in range(self.per_study):
                series = f"{number // self.per_series + 1:06}".encode()
                instance = f"{number + 1:06}".encode()
                yield study.replace(_MARK_SERIES.encode(), series).replace(_MARK_INSTANCE.encode(), instance)


def patient_id(number: int) -> str:
    """Return the PatientID of a patient."""
    return f"PAT{number:06}"


def _template() -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword, value in _VALUES.items():
        setattr(dataset, keyword, value)
    output = io.BytesIO()
    dataset.save_as(output, enforce_file_format=True)
    return output.getvalue()


_STUDY = f"{_ROOT}.{_MARK}"
_VALUES: dict[str, object] = {
    "SpecificCharacterSet": "ISO_IR 100",
    "SOPClassUID": CTImageStorage,
    "StudyInstanceUID": _STUDY,
    "SeriesInstanceUID": f"{_STUDY}.1{_MARK_SERIES}",
    "SOPInstanceUID": f"{_STUDY}.1{_MARK_SERIES}.1{_MARK_INSTANCE}",
    "PatientID": f"PAT{_MARK}",
    "PatientName": f"DOE{_MARK}^JANE",
    "PatientBirthDate": "19700101",
    "PatientSex": "F",
    "AccessionNumber": f"A{_MARK}",
    "StudyDate": "20260102",
    "StudyTime": "101112",
    "StudyDescription": "Thorax and abdomen",
    "StudyID": "1",
    "InstitutionName": "Phantom Laboratory",
    "ReferringPhysicianName": "Nobody^At All",
    "Modality": "CT",
    "Manufacturer": "Bench",
    "SeriesDescription": "Axial 1.25 mm soft tissue",
    "SeriesNumber": _MARK_SERIES,
    "InstanceNumber": _MARK_INSTANCE,
    "BodyPartExamined": "ABDOMEN",
    "ProtocolName": "Phantom",
    "Rows": 2,
    "Columns": 2,
    "BitsAllocated": 8,
    "BitsStored": 8,
    "HighBit": 7,
    "PixelRepresentation": 0,
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "PixelData": b"\0\1\2\3",
}
