"""Transcoding of the images that come with pydicom, read back by pydicom with GDCM and by DCMTK."""

import shutil
import subprocess
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate_extended, generate_frames
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import UID

from orthanc_trio.dicom.transcode import transcode

ROOT = "1.2.840.10008.1.2"
NATIVE = ("", ".1", ".2", ".1.99")
LOSSLESS = ("", ".1", ".2", ".1.99", ".5", ".4.57", ".4.70", ".4.80", ".4.90")
LOSSY = (".4.50", ".4.51", ".4.81", ".4.91")
SIXTEEN_BITS = (*LOSSLESS, ".4.81", ".4.91")
ALL = (*LOSSLESS, *LOSSY)
TWELVE_BITS = (*SIXTEEN_BITS, ".4.51")
RLE_AT_MOST = (*NATIVE, ".5")

# To which transfer syntaxes each image can be brought.
IMAGES = {
    "693_J2KI.dcm": SIXTEEN_BITS,
    "CT_small.dcm": SIXTEEN_BITS,
    "JPEGLSNearLossless_08.dcm": ALL,
    "JPEGLSNearLossless_16.dcm": SIXTEEN_BITS,
    "MR_small_RLE.dcm": SIXTEEN_BITS,
    "MR_small_bigendian.dcm": SIXTEEN_BITS,
    "MR_small_jp2klossless.dcm": SIXTEEN_BITS,
    "MR_small_jpeg_ls_lossless.dcm": SIXTEEN_BITS,
    "SC_rgb_dcmtk_+eb+cr.dcm": ALL,
    "SC_rgb_dcmtk_+eb+cy+np.dcm": ALL,
    "SC_rgb_jls_lossy_line.dcm": ALL,
    "SC_rgb_jpeg.dcm": ALL,
    "SC_rgb_jpeg_gdcm.dcm": ALL,
    "SC_rgb_rle_16bit_2frame.dcm": SIXTEEN_BITS,
    "SC_rgb_rle_2frame.dcm": ALL,
    "SC_rgb_rle_32bit_2frame.dcm": RLE_AT_MOST,
    "SC_rgb_small_odd.dcm": ALL,
    "SC_rgb_small_odd_big_endian.dcm": ALL,
    "SC_ybr_full_422_uncompressed.dcm": ALL,
    "dicomdirtests/77654033/CR1/6154": TWELVE_BITS,
    "liver_expb_1frame.dcm": NATIVE,
    "rtdose_expb.dcm": RLE_AT_MOST,
    "rtdose_rle.dcm": RLE_AT_MOST,
}
# How much more a value may be off on average than the loss allows: the contrast of the image matters.
MEAN_LOSS = {".4.50": 0.04, ".4.51": 0.04, ".4.81": 0.02, ".4.91": 0.02}

pytestmark = pytest.mark.filterwarnings("ignore")


def load(name: str) -> bytes:
    return Path(str(get_testdata_file(name))).read_bytes()


def read(data: bytes) -> FileDataset:
    return dcmread(BytesIO(data), force=True)


def pixels(data: bytes, *, colours_as_stored: bool = False) -> np.ndarray:
    dataset = read(data)
    dataset.pixel_array_options(raw=colours_as_stored)
    return dataset.pixel_array.astype(np.int64)


def made(name: str, suffix: str) -> bytes:
    result = transcode(load(name), ROOT + suffix)
    assert result is not None
    return result


def undone_by_dcmtk(data: bytes, folder: Path) -> bytes:
    """Decompress with DCMTK what pydicom has no decoder for: JPEG with 12 bits."""
    tool = shutil.which("dcmdjpeg")
    if tool is None:
        pytest.skip("DCMTK is not installed")
    before, after = folder / "before.dcm", folder / "after.dcm"
    before.write_bytes(data)
    subprocess.run([tool, before, after], check=True, capture_output=True)
    return after.read_bytes()


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_is_read_back_from_all_that_it_can_be_brought_to(name: str, tmp_path: Path) -> None:
    original = load(name)
    expected = pixels(original)
    contrast = int(expected.max() - expected.min())

    for suffix in ALL:
        result = transcode(original, ROOT + suffix)

        assert (result is not None) == (suffix in IMAGES[name]), suffix
        if result is None or result is original:
            continue
        dataset = read(result)
        assert dataset.file_meta.TransferSyntaxUID == ROOT + suffix
        if suffix == ".4.51" and dataset.BitsAllocated == 16:
            result = undone_by_dcmtk(result, tmp_path)
        loss = np.abs(pixels(result) - expected)
        assert loss.mean() <= contrast * MEAN_LOSS.get(suffix, 0.0), suffix


@pytest.mark.skipif(shutil.which("dcmdump") is None, reason="DCMTK is not installed")
def test_dcmtk_reads_what_was_made_without_a_complaint(tmp_path: Path) -> None:
    for name in ("CT_small.dcm", "SC_rgb_rle_2frame.dcm", "test-SR.dcm", "rtdose_expb.dcm"):
        for suffix in ALL:
            result = transcode(load(name), ROOT + suffix)
            if result is not None:
                (tmp_path / f"{name}{suffix}").write_bytes(result)

    dumped = subprocess.run(["dcmdump", *tmp_path.iterdir()], capture_output=True, check=True)
    assert dumped.stderr == b""


@pytest.mark.skipif(shutil.which("dcmdjpeg") is None, reason="DCMTK is not installed")
def test_dcmtk_decodes_lossless_jpeg_to_the_same_colours(tmp_path: Path) -> None:
    made_of = made("SC_ybr_full_422_uncompressed.dcm", ".4.70")

    undone = undone_by_dcmtk(made_of, tmp_path)

    assert (pixels(undone) == pixels(made_of)).all()


def test_a_file_that_has_the_syntax_already_stays_as_it_is() -> None:
    data = load("MR_small_RLE.dcm")

    assert transcode(data, ROOT + ".5") is data


@pytest.mark.parametrize("suffix", [".4.92", ".4.100", ".4.110", ".4.201", ".6.1", ".nope"])
def test_nothing_is_made_in_a_syntax_that_no_codec_writes(suffix: str) -> None:
    assert transcode(load("CT_small.dcm"), ROOT + suffix) is None


@pytest.mark.parametrize("name", ["test-SR.dcm", "rtplan.dcm", "reportsi.dcm", "priv_SQ.dcm"])
def test_a_file_without_pixels_loses_nothing_in_any_syntax(name: str) -> None:
    before = read(load(name))

    for suffix in ALL:
        result = transcode(load(name), ROOT + suffix)
        assert result is not None
        after = read(result)
        assert after.file_meta.TransferSyntaxUID == ROOT + suffix
        assert after.get("SOPInstanceUID") == before.get("SOPInstanceUID")
        assert list(after.keys()) == list(before.keys())
        assert after == before


@pytest.mark.parametrize("suffix", LOSSY)
def test_a_loss_makes_another_instance_that_says_so(suffix: str) -> None:
    before = read(load("SC_rgb_rle.dcm"))

    after = read(made("SC_rgb_rle.dcm", suffix))

    assert after.SOPInstanceUID != before.SOPInstanceUID
    assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID
    assert after.LossyImageCompression == "01"
    assert after.LossyImageCompressionMethod.startswith("ISO_1")
    assert after.LossyImageCompressionRatio > 1
    assert after.ImageType[0] == "DERIVED"
    assert "Lossy compression" in after.DerivationDescription
    assert after.DerivationCodeSequence[0].CodeValue == "113040"
    assert after.SourceImageSequence[-1].ReferencedSOPInstanceUID == before.SOPInstanceUID


def test_a_second_loss_is_added_to_the_first() -> None:
    once = made("SC_rgb_rle.dcm", ".4.50")

    twice = transcode(once, ROOT + ".4.81")

    assert twice is not None
    assert list(read(twice).LossyImageCompressionMethod) == ["ISO_10918_1", "ISO_14495_1"]
    assert len(read(twice).LossyImageCompressionRatio) == 2


def test_the_same_loss_makes_the_same_instance_and_another_quality_another() -> None:
    data = load("SC_rgb_rle.dcm")
    uids = [read(transcode(data, ROOT + ".4.50", q) or b"").SOPInstanceUID for q in (90, 90, 50)]

    assert uids[0] == uids[1] != uids[2]


@pytest.mark.parametrize("suffix", [".4.70", ".5", ".1"])
def test_without_a_loss_the_instance_stays_the_same(suffix: str) -> None:
    assert read(made("MR_small_jp2klossless.dcm", suffix)).SOPInstanceUID == (
        read(load("MR_small_jp2klossless.dcm")).SOPInstanceUID
    )


@pytest.mark.parametrize("suffix", LOSSY)
def test_less_quality_makes_smaller_files_and_odd_values_are_taken_as_the_nearest(suffix: str) -> None:
    data = load("examples_rgb_color.dcm")
    sizes = [len(transcode(data, ROOT + suffix, quality) or b"") for quality in (-5, 1, 50, 100, 1000)]

    assert abs(sizes[0] - sizes[1]) < 10
    assert sizes[1] < sizes[2] < sizes[3]
    assert abs(sizes[3] - sizes[4]) < 10


@pytest.mark.parametrize(
    ("name", "suffix", "photometric"),
    [
        ("SC_rgb_rle.dcm", ".4.50", "YBR_FULL_422"),
        ("SC_rgb_rle.dcm", ".4.70", "RGB"),
        ("SC_rgb_rle.dcm", ".4.80", "RGB"),
        ("SC_rgb_rle.dcm", ".4.90", "YBR_RCT"),
        ("SC_rgb_rle.dcm", ".4.91", "YBR_ICT"),
        ("SC_rgb_rle.dcm", ".1", "RGB"),
        ("SC_rgb_dcmtk_+eb+cy+np.dcm", ".1", "RGB"),
        ("SC_ybr_full_422_uncompressed.dcm", ".2", "YBR_FULL_422"),
        ("SC_ybr_full_422_uncompressed.dcm", ".5", "YBR_FULL"),
        ("GDCMJ2K_TextGBR.dcm", ".1", "RGB"),
        ("CT_small.dcm", ".4.90", "MONOCHROME2"),
        ("examples_palette.dcm", ".4.80", "PALETTE COLOR"),
    ],
)
def test_the_photometric_interpretation_is_that_of_the_new_pixels(
    name: str, suffix: str, photometric: str
) -> None:
    assert read(made(name, suffix)).PhotometricInterpretation == photometric


def test_a_frame_that_is_a_whole_jp2_file_is_decoded() -> None:
    name = "GDCMJ2K_TextGBR.dcm"

    assert (pixels(made(name, ".5")) == pixels(load(name))).all()


@pytest.mark.parametrize("name", ["SC_jpeg_no_color_transform.dcm", "SC_jpeg_no_color_transform_2.dcm"])
def test_the_colours_of_a_jpeg_are_those_that_it_tells_itself(name: str) -> None:
    assert (pixels(made(name, ".1")) == pixels(load(name))).all()


@pytest.mark.parametrize("suffix", LOSSY)
def test_a_palette_becomes_the_colours_before_there_is_a_loss(suffix: str) -> None:
    original = read(load("examples_palette.dcm"))
    original.add_new("PixelPaddingValue", "US", 3)
    result = transcode(saved(original), ROOT + suffix)

    assert result is not None
    dataset = read(result)
    assert (dataset.SamplesPerPixel, dataset.BitsAllocated, dataset.PlanarConfiguration) == (3, 8, 0)
    assert not any("Palette" in element.keyword or "Padding" in element.keyword for element in dataset)
    colours = apply_color_lut(original.pixel_array, original) >> 8
    assert np.abs(pixels(result) - colours).mean() < 3


@pytest.mark.parametrize("syntax", [".1", ".2", ""])
@pytest.mark.parametrize(
    ("count", "first", "bits", "is_in_words"),
    [(256, 0, 16, True), (256, 0, 8, False), (256, 0, 8, True), (50, 20, 16, True), (51, 7, 8, False)],
)
def test_every_kind_of_table_is_looked_up(
    syntax: str, count: int, first: int, bits: int, is_in_words: bool
) -> None:
    dataset = read(load("examples_palette.dcm"))
    dataset.Rows, dataset.Columns = 16, 16 * 8
    indices = np.arange(256)
    dataset.PixelData = np.repeat(indices, 8).astype("u1").tobytes()
    shades = np.linspace(0, 255, count).astype(int)
    entries = (shades << bits - 8).astype("<u2" if is_in_words else "u1").tobytes()
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [count, first, bits])
        setattr(dataset, f"{colour}PaletteColorLookupTableData", entries + b"\0" * (len(entries) % 2))
    other = transcode(saved(dataset), ROOT + syntax)
    assert other is not None

    result = transcode(other, ROOT + ".4.81", 100)

    assert result is not None
    expected = np.repeat(shades[np.clip(indices - first, 0, count - 1)], 8).reshape(16, -1, 1)
    assert np.abs(pixels(result) - expected).max() <= 2


@pytest.mark.parametrize(
    "missing", ["RedPaletteColorLookupTableData", "BluePaletteColorLookupTableDescriptor"]
)
def test_a_palette_that_cannot_be_read_is_refused(missing: str) -> None:
    dataset = read(load("examples_palette.dcm"))
    del dataset[missing]

    assert transcode(saved(dataset), ROOT + ".4.50") is None


@pytest.mark.parametrize(
    ("suffix", "allocated", "stored"), [(".4.50", 8, 8), (".4.50", 16, 8), (".4.51", 16, 12)]
)
@pytest.mark.parametrize(("slope", "intercept"), [(None, None), ("2", "-10")])
def test_signed_values_mean_the_same_after_a_jpeg_that_has_no_sign(
    tmp_path: Path, suffix: str, allocated: int, stored: int, slope: str | None, intercept: str | None
) -> None:
    dataset = signed_image(allocated, stored)
    dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
    dataset.add_new("PixelPaddingValue", "SS", -3)

    result = transcode(saved(dataset), ROOT + suffix, 100)

    assert result is not None
    read_back = read(result)
    assert (read_back.PixelRepresentation, read_back.BitsAllocated) == (0, 8 if stored == 8 else 16)
    assert "PixelPaddingValue" not in read_back
    values = pixels(undone_by_dcmtk(result, tmp_path))
    meant = values * float(read_back.RescaleSlope) + float(read_back.RescaleIntercept)
    expected = dataset.pixel_array * float(slope or 1) + float(intercept or 0)
    assert np.abs(meant - expected).max() <= 4


def test_signed_values_with_a_meaning_of_their_own_are_left_alone() -> None:
    dataset = signed_image(16, 12)
    dataset.RealWorldValueMappingSequence = [Dataset()]

    assert transcode(saved(dataset), ROOT + ".4.51") is None


def signed_image(allocated: int, stored: int) -> FileDataset:
    """Return a slope from the lowest to the highest value of `stored` bits."""
    dataset = read(load("CT_small.dcm"))
    highest = (1 << stored - 1) - 1
    values = np.linspace(-1 - highest, highest, 64 * 64).astype(f"<i{allocated // 8}")
    dataset.Rows = dataset.Columns = 64
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, stored, stored - 1
    dataset.PixelData = values.tobytes()
    dataset["PixelData"].VR = "OB" if allocated == 8 else "OW"
    return dataset


def test_values_of_8_bits_in_16_become_a_jpeg_of_8_bits() -> None:
    dataset = read(load("JPEGLSNearLossless_08.dcm"))
    values = dataset.pixel_array
    dataset.decompress()
    dataset.BitsAllocated = 16
    dataset["PixelData"].VR = "OW"
    dataset.PixelData = values.astype("<u2").tobytes()

    for suffix in (".4.50", ".4.51"):
        result = transcode(saved(dataset), ROOT + suffix)
        assert result is not None
        assert read(result).BitsAllocated == 8
        assert np.abs(pixels(result) - values).mean() < 3


def test_embedded_overlays_survive_or_the_file_is_refused() -> None:
    dataset = read(load("CT_small.dcm"))
    dataset.add_new((0x6000, 0x0010), "US", 128)
    dataset.add_new((0x6000, 0x0102), "US", 15)

    assert transcode(saved(dataset), ROOT + ".4.90") is None
    assert transcode(saved(dataset), ROOT + ".4.81") is None
    result = transcode(saved(dataset), ROOT + ".4.70")
    assert result is not None
    assert transcode(result, ROOT + ".1", 90) is not None


def saved(dataset: FileDataset) -> bytes:
    file = BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def test_offsets_of_frames_may_stand_in_an_extended_table() -> None:
    dataset = read(load("SC_rgb_rle_2frame.dcm"))
    expected = pixels(load("SC_rgb_rle_2frame.dcm"))
    frames = list(generate_frames(dataset.PixelData, number_of_frames=2))
    dataset.PixelData, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = encapsulate_extended(
        frames
    )

    result = transcode(saved(dataset), ROOT + ".4.80")

    assert result is not None
    assert "ExtendedOffsetTable" not in read(result)
    assert (pixels(result) == expected).all()


def refused_images() -> Iterator[tuple[str, bytes]]:
    ct = read(load("CT_small.dcm"))
    for keyword, value in (
        ("Rows", 65535),
        ("NumberOfFrames", 2_000_000),
        ("BitsAllocated", 24),
        ("BitsStored", 17),
        ("SamplesPerPixel", 4),
        ("NumberOfFrames", -1),
    ):
        dataset = read(load("CT_small.dcm"))
        setattr(dataset, keyword, value)
        yield f"{keyword} {value}", saved(dataset)
    del ct.BitsStored
    yield "no BitsStored", saved(ct)
    for name in ("SC_rgb_rle.dcm", "MR_small_jp2klossless.dcm", "SC_rgb_dcmtk_+eb+cr.dcm"):
        dataset = read(load(name))
        dataset.Rows = 2 * dataset.Rows
        yield f"rows of {name}", saved(dataset)
        dataset.Rows //= 2
        dataset.NumberOfFrames = 3
        yield f"frames of {name}", saved(dataset)
    yield "cut off", load("MR_truncated.dcm")
    yield "no DICOM", b"nothing" * 100
    yield "empty", b""


@pytest.mark.parametrize("refused", [pytest.param(data, id=name) for name, data in refused_images()])
def test_an_image_that_is_not_what_its_tags_say_is_refused(refused: bytes) -> None:
    assert transcode(refused, ROOT + ".4.80") is None


@pytest.mark.parametrize(
    "name", ["MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "JPGExtended.dcm"]
)
def test_damage_never_raises(name: str) -> None:
    data = load(name)
    for position in range(len(data) - 600, len(data), 97):
        transcode(data[:position], ROOT + ".1")
        transcode(data[:position] + b"\xff\xff" + data[position + 2 :], ROOT + ".1")


def test_a_dataset_that_inflates_to_no_end_is_refused() -> None:
    data = load("image_dfl.dcm")
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    head = b"\x08\x00\x16\x00UI\x02\x001\0" + b"\xe0\x7f\x10\x00OW\0\0\0\0\0\x10"
    bomb = deflater.compress(head + bytes(66 << 20)) + deflater.flush()
    dataset_start = 132 + 12 + int.from_bytes(data[140:144], "little")

    assert transcode(data[:dataset_start] + bomb, ROOT + ".1") is None


@pytest.mark.parametrize("first", NATIVE)
@pytest.mark.parametrize("second", NATIVE)
def test_all_kinds_of_values_survive_every_change_of_encoding(first: str, second: str) -> None:
    dataset = read(load("rtplan.dcm"))
    dataset.add_new(0x00280009, "AT", [0x00181063, 0x00181065])
    dataset.add_new(0x00720074, "FD", [1.5, -2.25])
    dataset.add_new(0x00720082, "SV", -5)
    dataset.add_new(0x00720083, "UV", 5)
    dataset.add_new(0x00720065, "OF", np.arange(3, dtype="<f4").tobytes())
    dataset.add_new(0x00720069, "OW", b"\1\2\3\4")
    dataset.add_new(0x00720071, "OV", b"\1\2\3\4\5\6\7\x08")
    dataset.add_new(0x00280106, "SS", -7)
    dataset.PixelRepresentation = 1
    original = saved(dataset)

    there = transcode(original, ROOT + first)
    assert there is not None
    back = transcode(there, ROOT + second)
    assert back is not None
    home = transcode(back, ROOT)

    assert home is not None
    assert read(home) == read(original)
    assert read(there).SmallestImagePixelValue == -7


def test_text_in_a_wrong_character_set_is_not_touched() -> None:
    data = load("MR_small_implicit.dcm")
    name = bytes(read(data)["PatientName"].value.original_string)
    broken = data.replace(name, b"\xff\xfe\x80" + name[3:], 1)

    result = transcode(broken, ROOT + ".2")

    assert result is not None
    assert b"\xff\xfe\x80" + name[3:] in result


def test_the_implementation_in_the_meta_information_is_this_one() -> None:
    meta = read(made("CT_small.dcm", ".5")).file_meta

    assert meta.ImplementationClassUID == UID("2.25.193144807958406243112680213903683733631")
    assert meta.MediaStorageSOPClassUID == read(load("CT_small.dcm")).SOPClassUID
