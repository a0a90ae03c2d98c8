"""The generated instances: the same bytes on every run, kept in `bench/data/`.

`ct` are slices of 512x512 in 16 bit: a smooth phantom with Gaussian noise, so that deflate at level 6 leaves
about 45 %, as it does with real slices. `small` are slices of 64x64 with the same header, `many` of 16x16.
"""

import io
import zlib
from functools import cached_property
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

_FOLDER = Path(__file__).parent / "data"
_GENERATION = "1"  # a new number makes old files obsolete
_HEADER_BYTES = 4578
_NOISE_HU = 22.0
_QUICK_PART = 5


class Shape(Struct, frozen=True):
    """What to generate: one study of `count` slices of `size` x `size` pixels, in series of `per_series`."""

    name: str
    count: int
    size: int
    per_series: int


CT = Shape("ct", count=500, size=512, per_series=100)
SMALL = Shape("small", count=2000, size=64, per_series=200)
MANY = Shape("many", count=10_000, size=16, per_series=1000)


class Instances:
    """The files of one shape, in memory."""

    def __init__(self, name: str, files: list[bytes]) -> None:
        self.name = name
        self.files = files

    @cached_property
    def crcs(self) -> list[int]:
        """The CRC-32 of every file, sorted."""
        return sorted(map(zlib.crc32, self.files))

    @cached_property
    def size_bytes(self) -> int:
        """The sum of all files."""
        return sum(map(len, self.files))


class Data:
    """All data of a run; `quick` takes the first fifth of each. Generated when first asked for."""

    def __init__(self, *, quick: bool) -> None:
        self.quick = quick
        self.folder = _FOLDER
        self.folder.mkdir(exist_ok=True)

    @cached_property
    def ct(self) -> Instances:
        """500 slices of 512x512, about 529 kB each."""
        return self._instances(CT)

    @cached_property
    def small(self) -> Instances:
        """2,000 slices of 64x64, about 12.8 kB each."""
        return self._instances(SMALL)

    @cached_property
    def many(self) -> Instances:
        """10,000 slices of 16x16, about 5.1 kB each."""
        return self._instances(MANY)

    def scaled(self, count: int) -> int:
        """Return how often to repeat something: `count`, or a fifth of it in a quick run."""
        return max(1, count // _QUICK_PART) if self.quick else count

    def _instances(self, shape: Shape) -> Instances:
        folder = self.folder / f"{shape.name}-{_GENERATION}"
        folder.mkdir(exist_ok=True)
        return Instances(shape.name, [_load(folder, shape, i) for i in range(self.scaled(shape.count))])


def _load(folder: Path, shape: Shape, number: int) -> bytes:
    path = folder / f"{number:05}.dcm"
    if path.exists():
        return path.read_bytes()
    data = _part10(shape, number)
    partial = path.with_suffix(".part")  # a stopped run leaves no half file under the final name
    partial.write_bytes(data)
    partial.rename(path)
    return data


def _part10(shape: Shape, number: int) -> bytes:
    dataset = _header(shape, number)
    dataset.PixelData = _pixels(shape, number).tobytes()
    without_padding = _encoded(dataset)
    missing = _HEADER_BYTES - (len(without_padding) - len(dataset.PixelData))
    block = dataset.private_block(0x0009, "BENCH", create=True)
    block.add_new(0x01, "OB", bytes(missing - 32))  # 32: the creator and the element's own head
    return _encoded(dataset)


def _encoded(dataset: Dataset) -> bytes:
    output = io.BytesIO()
    dataset.save_as(output, enforce_file_format=True)
    return output.getvalue()


def _uid(*parts: object) -> str:
    return str(generate_uid(entropy_srcs=["orthanc-trio bench", *map(str, parts)]))


def _header(shape: Shape, number: int) -> Dataset:
    series = number // shape.per_series
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword, value in _IDENTITY.items():
        setattr(dataset, keyword, value)
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = _uid(shape.name, "instance", number)
    dataset.StudyInstanceUID = _uid(shape.name, "study")
    dataset.SeriesInstanceUID = _uid(shape.name, "series", series)
    dataset.FrameOfReferenceUID = _uid(shape.name, "frame")
    dataset.PatientID = f"BENCH-{shape.name}"
    dataset.SeriesNumber = series + 1
    dataset.InstanceNumber = number % shape.per_series + 1
    dataset.ImagePositionPatient = [-180.0, -180.0, 1.25 * number]
    dataset.SliceLocation = 1.25 * number
    dataset.Rows = dataset.Columns = shape.size
    return dataset


_IDENTITY: dict[str, object] = {
    "SpecificCharacterSet": "ISO_IR 100",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "StudyDate": "20260102",
    "SeriesDate": "20260102",
    "ContentDate": "20260102",
    "StudyTime": "101112.000000",
    "SeriesTime": "101213.000000",
    "ContentTime": "101314.000000",
    "AccessionNumber": "A0000001",
    "Modality": "CT",
    "Manufacturer": "Bench",
    "InstitutionName": "Phantom Laboratory",
    "ReferringPhysicianName": "Nobody^At All",
    "StationName": "BENCH01",
    "StudyDescription": "Phantom, thorax and abdomen",
    "SeriesDescription": "Axial 1.25 mm soft tissue",
    "ManufacturerModelName": "Generator",
    "PatientName": "Phantom^Bench",
    "PatientBirthDate": "19700101",
    "PatientSex": "O",
    "BodyPartExamined": "ABDOMEN",
    "SliceThickness": 1.25,
    "KVP": 120,
    "ProtocolName": "Phantom",
    "PatientPosition": "HFS",
    "StudyID": "1",
    "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "PixelSpacing": [0.703125, 0.703125],
    "BitsAllocated": 16,
    "BitsStored": 16,
    "HighBit": 15,
    "PixelRepresentation": 1,
    "WindowCenter": 40,
    "WindowWidth": 400,
    "RescaleIntercept": 0,
    "RescaleSlope": 1,
}


def _pixels(shape: Shape, number: int) -> NDArray[np.int16]:
    """Return a slice in Hounsfield units, shape (size, size): organs, drifting over the slices, and noise."""
    random = np.random.default_rng([7, shape.size, number])
    axis = np.linspace(-1, 1, shape.size, dtype=np.float32)
    x, y = axis[None, :], axis[:, None]
    phase = number / shape.count * 2 * np.pi
    body = (x / 0.9) ** 2 + (y / 0.7) ** 2 < 1
    tissue = 40 + 25 * np.sin(5 * x + phase) * np.cos(4 * y - phase)
    lungs = ((np.abs(x) - 0.4) / 0.26) ** 2 + ((y + 0.1 * np.sin(phase)) / 0.4) ** 2 < 1
    spine = (x / 0.12) ** 2 + ((y - 0.45) / 0.14) ** 2 < 1
    values = np.where(body, tissue, -1000.0)
    values = np.where(body & lungs, -820 + 40 * np.cos(9 * x + 7 * y), values)
    values = np.where(spine, 600 + 200 * np.sin(20 * x), values)
    values = values + random.normal(0, _NOISE_HU, values.shape) * np.where(body, 1.0, 0.4)
    values = np.where(x**2 + y**2 < 1, values, -1024)  # outside of the field of view
    return values.round().astype("<i2")
