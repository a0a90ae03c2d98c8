"""Each file of pydicom can be brought to every transfer syntax to which Orthanc 1.13.0 brings it.

Recorded once. Ours knows more: the package of Orthanc writes neither JPEG 2000 nor RLE. What the pixels are
then is told by the tests of transcoding.
"""

import io
import json

import pydicom
import pytest

from orthanc_trio.dicom.transcode import transcode

from .conftest import FILES, GOLDEN

ROOT = "1.2.840.10008.1.2"
POSSIBLE: dict[str, list[str]] = json.loads((GOLDEN / "transcoding.json").read_text())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", POSSIBLE)
def test_it_can_be_brought_to_all_that_orthanc_brings_it_to(name: str) -> None:
    data = (FILES / name).read_bytes()

    made = {suffix: transcode(data, ROOT + suffix) for suffix in POSSIBLE[name]}

    assert [suffix for suffix, file in made.items() if file is None] == []
    for suffix, file in made.items():
        meta = pydicom.dcmread(io.BytesIO(file or b""), stop_before_pixels=True, force=True).file_meta
        assert file == data or meta.TransferSyntaxUID == ROOT + suffix
