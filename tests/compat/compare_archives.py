"""Compare archives and media with those that a running Orthanc makes of the same files.

    python -m tests.compat.compare_archives http://localhost:8042

The server is to be empty. The files are those that come with pydicom, and some made up for their names; ours
runs beside it. What is compared: status and error, the headers that name the file, the names of the members
in their order and their bytes, the records of the DICOMDIR, and of transcoded images syntax and pixels.

These differences are deliberate, so no file here leads to them: a folder that would have no name or only dots
is "Unknown ..."; two folders never get one name; control characters do not pass into UTF-8 names. Orthanc
leaves out what it cannot transcode, and makes no media of files without SOP Class UID; ours has them. A date
of a study that is empty in the file is empty in Orthanc's DICOMDIR only.
"""

import argparse
import io
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pydicom
from pydicom.dataset import Dataset

from orthanc_trio.dicom.part10 import open_dataset
from orthanc_trio.dicom.transcode import transcode
from tests.support.dicom import make_instance
from tests.support.server import running_server

from .conftest import FILES
from .test_golden_media import shown, without_dates

ROOT = "1.2.840.10008.1.2"
EXPLICIT = f"{ROOT}.1"
BIG_ENDIAN = f"{ROOT}.2"
LOSSLESS = (ROOT, EXPLICIT, BIG_ENDIAN, f"{ROOT}.1.99", f"{ROOT}.4.57", f"{ROOT}.4.70", f"{ROOT}.4.80")
LOSSY = (f"{ROOT}.4.50", f"{ROOT}.4.51")
MEAN_LOSS = 2.0
# A name in an old encoding that Orthanc does not decode.
LEFT_OUT = frozenset(("chrH32.dcm",))
NAMES = (
    *("Doe^John", "^", "A/B\\C:D*E?", "x" * 64, "é", "IRM cérébrale, neuro-crâne", " a ", "a\tb", "a\x1bb"),
    *("..a", ".hidden", "a..", "-", "Knee (R)", 'a"b<c>d|e', "Ünï^Tëst", "a\u0301", "x-2"),
)
NUMBERS: tuple[tuple[str | None, ...], ...] = (
    *(("1", "1", "2"), (None,), ("-5", "3"), ("10", "9", "8"), ("1234567",), ("2", None, "2", "1"), (" 4 ",)),
)
BODIES: tuple[Any, ...] = ([], "x", None, True)
MODALITIES = ("", "m", "ct", "PETX", "é", "a b", "1/2", " x", "A^")


class Case(NamedTuple):
    """One request."""

    method: str
    path: str
    body: Any = None


def made_up() -> Iterator[bytes]:
    """Yield files with odd names, numbers and modalities."""
    for study, name in enumerate(NAMES, 1):
        tags = {"StudyDescription": name, "SeriesDescription": name, "SpecificCharacterSet": "ISO_IR 192"}
        yield make_instance(patient_id=f"N{study}", patient_name=name, study=study, **tags)
        yield make_instance(patient_id="Same", patient_name="Same", study=100 + study, StudyDescription="")
    for series, numbers in enumerate(NUMBERS, 1):
        for instance, number in enumerate(numbers, 1):
            odd: dict[str, Any] = {"InstanceNumber": number, "series": series, "instance": instance}
            yield make_instance(patient_id="Numbers", study=200, modality="MR", **odd)
    for series, modality in enumerate(MODALITIES, 1):
        tags = {"SpecificCharacterSet": "ISO_IR 192"}
        yield make_instance(patient_id="Modalities", study=300, series=series, modality=modality, **tags)


def store(reference: httpx.Client, ours: httpx.Client) -> None:
    """Store in both what the reference takes."""
    files = [path.read_bytes() for path in sorted(FILES.rglob("*.dcm")) if path.name not in LEFT_OUT]
    for data in (*files, *made_up()):
        answer = reference.post("/instances", content=data)
        if answer.is_success and answer.json()["Status"] == "Success":
            ours.post("/instances", content=data).raise_for_status()


def cases(reference: httpx.Client) -> Iterator[Case]:
    patients, studies, series = (
        reference.get(f"/{level}").json() for level in ("patients", "studies", "series")
    )
    for level, ids in (("patients", patients), ("studies", studies), ("series", series)):
        for path in (f"/{level}/{id}/{kind}" for id in ids for kind in ("archive", "media")):
            yield Case("GET", path)
            yield Case("POST", path, {"Utf8": True, "Extended": True})
    instances = reference.get(f"/series/{series[0]}").json()["Instances"]
    mixed = [series[3], instances[0], studies[2], patients[5], instances[0]]
    for tool in ("create-archive", "create-media", "create-media-extended"):
        yield Case("GET", f"/tools/{tool}?resources={','.join(mixed)}&filename=a%20b.zip")
        for resources in ([], patients, mixed, ["nope"], [1], "x", None):
            yield Case("POST", f"/tools/{tool}", resources)
            yield Case("POST", f"/tools/{tool}", {"Resources": resources, "Filename": 'a "é"\n.zip'})
    yield from wrong_cases(studies[0], instances[0])
    for syntax in (*LOSSLESS, *LOSSY):
        for tool in ("create-archive", "create-media"):
            yield Case("POST", f"/tools/{tool}", {"Transcode": syntax, "Resources": patients})


def wrong_cases(study: str, instance: str) -> Iterator[Case]:
    path = f"/studies/{study}/archive"
    for query in (
        "transcode=nope",
        f"transcode={EXPLICIT}&lossy-quality=a",
        "lossy-quality=a",
        "filename=",
        "x",
    ):
        yield Case("GET", f"{path}?{query}")
    for name, values in {
        "Transcode": ("nope", 1, None),
        "LossyQuality": ("a", 5),
        "Extended": (1, "a"),
        "Utf8": (1, True),
        "Filename": (1, "", "é"),
        "Priority": ("a", 1.5, 3),
        "Synchronous": ("a", 1),
    }.items():
        yield from (Case("POST", path, {name: value}) for value in values)
    for body in BODIES:
        yield Case("POST", path, body)
    for wrong in (f"/series/{study}/media", f"/patients/{instance}/archive", "/studies/nope/media"):
        yield Case("GET", wrong)
        yield Case("POST", wrong, {})


def difference(case: Case, theirs: httpx.Response, ours: httpx.Response) -> str:
    """Return what is different, empty if nothing is."""
    if theirs.status_code != ours.status_code:
        return f"status {theirs.status_code}, ours {ours.status_code}"
    if theirs.is_error:
        known = ("OrthancStatus", "Details")
        said = [[answer.json().get(key) for key in known] for answer in (theirs, ours)]
        return "" if said[0] == said[1] else f"{said[0]}, ours {said[1]}"
    for header in ("Content-Type", "Content-Disposition"):
        if theirs.headers.get(header) != ours.headers.get(header):
            return f"{theirs.headers.get(header)}, ours {ours.headers.get(header)}"
    try:
        archive = zipfile.ZipFile(io.BytesIO(theirs.content))
    except zipfile.BadZipFile:
        return ""  # of these files it makes no media
    own = zipfile.ZipFile(io.BytesIO(ours.content))
    if isinstance(case.body, dict) and "Transcode" in case.body:
        return transcoded_difference(archive, own, case.body["Transcode"])
    return difference_of_members(archive, own)


def difference_of_members(theirs: zipfile.ZipFile, ours: zipfile.ZipFile) -> str:
    for one, other in zip(theirs.infolist(), ours.infolist(), strict=False):
        if one.filename != other.filename:
            return f"{one.filename}, ours {other.filename}"
        if one.filename != "DICOMDIR" and one.CRC != other.CRC:
            return f"the bytes of {one.filename}"
    if len(theirs.infolist()) != len(ours.infolist()) or theirs.comment != ours.comment:
        return f"{len(theirs.infolist())} members, ours {len(ours.infolist())}"
    if "DICOMDIR" not in theirs.namelist():
        return ""
    one_list, other_list = ([shown(record) for record in records(archive)] for archive in (theirs, ours))
    return "" if one_list == without_dates(other_list, one_list) else "the records of the DICOMDIR"


def records(archive: zipfile.ZipFile) -> list[Dataset]:
    return list(pydicom.dcmread(io.BytesIO(archive.read("DICOMDIR"))).DirectoryRecordSequence)


def transcoded_difference(theirs: zipfile.ZipFile, ours: zipfile.ZipFile, syntax: str) -> str:
    """Return how what Orthanc could transcode differs; what it could not is not there."""
    for name in theirs.namelist():
        if name == "DICOMDIR":
            continue
        one, other = theirs.read(name), ours.read(name)
        if (made := syntax_of(other)) != syntax:
            return f"{name} is left in {made}"
        if not have_equal_pixels(one, other) and not (syntax == BIG_ENDIAN and has_wide_pixels(other)):
            return f"the pixels of {name}"
    if "DICOMDIR" in ours.namelist():
        for record in records(ours):
            if record.DirectoryRecordType == "IMAGE":
                file = ours.read("/".join(record.ReferencedFileID))
                if record.ReferencedTransferSyntaxUIDInFile != syntax_of(file):
                    return f"the record of {record.ReferencedFileID}"
    return ""


def syntax_of(file: bytes) -> str:
    return open_dataset(file, len(file)).transfer_syntax


def have_equal_pixels(one: bytes, other: bytes) -> bool:
    """Whether two files have the same pixels, up to what a codec with a loss may do."""
    native = [transcode(file, EXPLICIT, keeps_uid=True) for file in (one, other)]
    if None in native:
        return native[0] == native[1]
    read = [pydicom.dcmread(io.BytesIO(file or b""), force=True) for file in native]
    if "PixelData" not in read[0]:
        return "PixelData" not in read[1]
    values = [
        np.frombuffer(file.PixelData, f"u{max(1, file.BitsAllocated // 8)}").astype("i8") for file in read
    ]
    return len(values[0]) == len(values[1]) and float(np.abs(values[0] - values[1]).mean()) <= MEAN_LOSS


def has_wide_pixels(file: bytes) -> bool:
    """Whether a pixel has 32 bits, of which Orthanc swaps the bytes in pairs."""
    return bool(pydicom.dcmread(io.BytesIO(file), stop_before_pixels=True).BitsAllocated == 32)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("url")
    different = count = 0
    with (
        httpx.Client(base_url=parser.parse_args().url, timeout=600) as reference,
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder), SyncStorageArea=False) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=600) as ours,
    ):
        store(reference, ours)
        for case in cases(reference):
            body = None if case.method == "GET" else case.body
            answers = [
                client.request(case.method, case.path, json=body)
                if case.method == "POST"
                else client.get(case.path)
                for client in (reference, ours)
            ]
            found = difference(case, *answers)
            count += 1
            different += bool(found)
            if found:
                sys.stdout.write(f"{case.method} {case.path} {str(case.body)[:80]}: {found}\n")
    sys.stdout.write(f"{different} of {count} answers differ\n")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
