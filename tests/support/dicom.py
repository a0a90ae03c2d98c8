"""DICOM files for tests and benchmarks, made up: nothing in them is a patient's.

`make_instance` builds one file with pydicom (about 2 ms); `Template` and `make_series` patch the numbers of a
file made beforehand (microseconds). Equal arguments give equal bytes.
"""

import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any, Final

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

ROOT = "1.2.826.0.1.3680043.10.999"
ABSENT: Final = object()
"""As the value of a tag: the file does not have it."""


def study_uid(study: int = 1) -> str:
    return f"{ROOT}.{1_000_000 + study}"


def series_uid(study: int = 1, series: int = 1) -> str:
    return f"{study_uid(study)}.{1_000_000 + series}"


def sop_uid(study: int = 1, series: int = 1, instance: int = 1) -> str:
    return f"{series_uid(study, series)}.{1_000_000 + instance}"


def make_dataset(
    *,
    patient_id: str = "P1",
    patient_name: str = "Doe^Jane",
    study: int = 1,
    series: int = 1,
    instance: int = 1,
    rows: int = 8,
    columns: int = 8,
    modality: str = "CT",
    **tags: Any,
) -> Dataset:
    """Return a dataset with 16-bit pixels, without any if `rows` is 0.

    `tags` are keywords of DICOM with their values, or ABSENT; they win over all else.
    """
    dataset = Dataset()
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = sop_uid(study, series, instance)
    dataset.StudyDate = "20240102"
    dataset.StudyTime = "030405"
    dataset.AccessionNumber = f"A{study}"
    dataset.Modality = modality
    dataset.StudyDescription = f"Study {study}"
    dataset.SeriesDescription = f"Series {series}"
    dataset.PatientName = patient_name
    dataset.PatientID = patient_id
    dataset.StudyInstanceUID = study_uid(study)
    dataset.SeriesInstanceUID = series_uid(study, series)
    dataset.SeriesNumber = series
    dataset.InstanceNumber = instance
    if rows:
        _add_pixels(dataset, rows, columns)
    for keyword, value in tags.items():
        if value is not ABSENT:
            setattr(dataset, keyword, value)
        elif keyword in dataset:
            delattr(dataset, keyword)
    return dataset


def _add_pixels(dataset: Dataset, rows: int, columns: int) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = rows
    dataset.Columns = columns
    dataset.BitsAllocated = 16
    dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 0
    # A ramp that does not repeat every 256 bytes, so that a shifted or swapped file is noticed.
    ramp = b"".join(value.to_bytes(2, "little") for value in range(1021))
    size = rows * columns * 2
    dataset.PixelData = (ramp * (size // len(ramp) + 1))[:size]
    dataset["PixelData"].VR = "OW"


def write(dataset: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Return the Part 10 file of a dataset.

    If the transfer syntax is a compressed one, the pixels are put into one fragment as they are: no codec can
    decode them.
    """
    syntax = UID(transfer_syntax)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(dataset.get("SOPClassUID") or CTImageStorage)
    meta.MediaStorageSOPInstanceUID = UID(dataset.get("SOPInstanceUID") or sop_uid())
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = UID(ROOT)
    dataset.file_meta = meta
    if syntax.is_compressed and not syntax.is_deflated and "PixelData" in dataset:
        dataset.PixelData = encapsulate([dataset.PixelData])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    file = BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def make_instance(*, transfer_syntax: str = ExplicitVRLittleEndian, **arguments: Any) -> bytes:
    """Return a Part 10 file; `arguments` are those of `make_dataset`."""
    return write(make_dataset(**arguments), transfer_syntax)


class Template:
    """A file made beforehand, whose numbers are patched for each instance.

    `arguments` are those of `make_instance` without the numbers and the patient's identifier; the transfer
    syntax must not be a deflated one.
    """

    def __init__(self, **arguments: Any) -> None:
        number = 7_654_321
        self._marks = self._values(_TEMPLATE_PATIENT, number, number, _TEMPLATE_INDEX)
        self._marks[0] = sop_uid(number, number, number).encode()
        numbers: dict[str, Any] = {"study": number, "series": number, "instance": number}
        arguments = {"InstanceNumber": _TEMPLATE_INDEX, **arguments, **numbers}
        data = make_instance(patient_id=_TEMPLATE_PATIENT, **arguments)
        # The longest mark first: the UID of an instance begins with that of its series.
        self._pieces = re.split(b"(" + b"|".join(re.escape(mark) for mark in self._marks) + b")", data)

    @staticmethod
    def _values(patient_id: str, study: int, series: int, instance: int) -> list[bytes]:
        texts = [
            sop_uid(study, series, instance),
            series_uid(study, series),
            study_uid(study),
            f"{patient_id:<8}",
            f"{instance:<8}",
            f"A{study}".ljust(8),
            f"Study {study}".ljust(13),
            f"Series {series}".ljust(14),
            f"{series:<7}",
        ]
        return [text.encode() for text in texts]

    def instance(
        self, *, patient_id: str = "P1", study: int = 1, series: int = 1, instance: int = 1
    ) -> bytes:
        """Return a file; `patient_id` has at most 8 characters, the numbers are below 7,000,000."""
        values = self._values(patient_id, study, series, instance)
        by_mark = dict(zip(self._marks, values, strict=True))
        return b"".join([by_mark.get(piece, piece) for piece in self._pieces])


_TEMPLATE_PATIENT = "PATIENT!"
_TEMPLATE_INDEX = 98_765_432


def make_series(
    count: int, *, patient_id: str = "P1", study: int = 1, series: int = 1, first: int = 1, **arguments: Any
) -> Iterator[bytes]:
    """Yield the files of one series, with the instance numbers from `first` on."""
    template = Template(**arguments)
    for instance in range(first, first + count):
        yield template.instance(patient_id=patient_id, study=study, series=series, instance=instance)
