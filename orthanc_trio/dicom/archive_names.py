"""The names of folders and files inside an archive.

Names come from DICOM tags, so they are not trusted: no name leaves its folder, and each is bounded.
Source: the Orthanc Book, "REST API", "Downloading studies"; release notes of 1.12.11 and 1.13.0.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache

from ..model.resource import ResourceLevel

Tags = Mapping[str, str]
Texts = tuple[str | None, ...]

_PATIENT_ID, _PATIENT_NAME = "0010,0020", "0010,0010"
_ACCESSION_NUMBER, _STUDY_DESCRIPTION = "0008,0050", "0008,1030"
_SERIES_NUMBER, _MODALITY, _SERIES_DESCRIPTION = "0020,0011", "0008,0060", "0008,103e"
_PATIENT_KEYS = (_PATIENT_ID, _PATIENT_NAME)
_STUDY_KEYS = (_ACCESSION_NUMBER, _STUDY_DESCRIPTION)
_SERIES_KEYS = (_SERIES_NUMBER, _MODALITY, _SERIES_DESCRIPTION)

# Three folders and a file, at four bytes for each character, must fit in the 65,535 bytes of a ZIP.
_MAX_LENGTH = 1000
_MOST_REMEMBERED = 64  # a hostile tag may have 64 KiB
_MAX_DIGITS = 18  # an Integer String has 12; Python refuses to read thousands of them
_REPLACED = frozenset(':*?"<>|/\\ ')


class Layout(Enum):
    """Which folders an archive has, and where the text of the patient's folder comes from."""

    PATIENT = "patient"
    """patient/study/series/file; the patient's own tags name the first."""
    STUDY = "study"
    """patient/study/series/file; the study's copy of the tags of its patient names the first."""
    SERIES = "series"
    """series/file."""


def layout_of(level: ResourceLevel | None, *, is_post: bool) -> Layout:
    """Return the layout of the archive of `/{level}/{id}/archive`, or (None) of `/tools/create-archive`."""
    if level is ResourceLevel.SERIES and is_post:
        return Layout.SERIES
    if level in (ResourceLevel.STUDY, ResourceLevel.SERIES):
        return Layout.STUDY
    return Layout.PATIENT


def patient_folder(tags: Tags, *, utf8: bool) -> str:
    """Return the name of a patient's folder: `PatientID - PatientName`."""
    name = tags.get(_PATIENT_NAME, "")
    text = tags.get(_PATIENT_ID, "") + (f" - {name}" if name else "")
    return _folder(text, "Unknown Patient", utf8=utf8)


def study_folder(tags: Tags, *, utf8: bool) -> str:
    """Return the name of a study's folder: `AccessionNumber - StudyDescription`."""
    return _folder(_joined(tags, _STUDY_KEYS), "Unknown Study", utf8=utf8)


def series_folder(tags: Tags, *, utf8: bool) -> str:
    """Return the name of a series' folder: `SeriesNumber - Modality - SeriesDescription`."""
    text = _joined(tags, _SERIES_KEYS)
    return _folder(text, "Unknown Series", utf8=utf8)


def only_folder(patient: Tags, study: Tags, series: Tags, *, utf8: bool) -> str:
    """Return the folder of the only series of an archive, with a slash at its end: see `Layout.PATIENT`."""
    return _path(
        tuple(map(patient.get, _PATIENT_KEYS)),
        tuple(map(study.get, _STUDY_KEYS)),
        tuple(map(series.get, _SERIES_KEYS)),
        utf8,
    )


@lru_cache(_MOST_REMEMBERED)
def _path(patient: Texts, study: Texts, series: Texts, utf8: bool) -> str:
    # One series is often asked for again, and so are several of its instances.
    folders = (
        patient_folder(_present(_PATIENT_KEYS, patient), utf8=utf8),
        study_folder(_present(_STUDY_KEYS, study), utf8=utf8),
        series_folder(_present(_SERIES_KEYS, series), utf8=utf8),
    )
    return "".join(f"{folder}/" for folder in folders)


def _present(keys: Sequence[str], texts: Texts) -> Tags:
    return {key: text for key, text in zip(keys, texts, strict=True) if text is not None}


def clean(text: str, *, utf8: bool) -> str:
    """Return `text` without what is not allowed in a name: ASCII only, unless `utf8`."""
    if not (utf8 and _is_encodable(text)):
        text = text.translate(_UNPRINTABLE).encode("ascii", "ignore").decode()
    text = text[:_MAX_LENGTH]
    if text.isascii():
        return " ".join(text.translate(_ASCII).split())
    return " ".join("".join(map(_spaced, text)).split())


def _spaced(character: str) -> str:
    # White space and control characters are not printable, nor are those that turn the direction of text.
    return character if character.isprintable() and character not in _REPLACED else " "


_ASCII = {number: _spaced(chr(number)) for number in range(128)}
# Where ASCII is wanted they are dropped with the rest, but for the end of a line.
_UNPRINTABLE = dict.fromkeys({*range(32), 127} - {ord("\n")})


def file_names(
    modality: str, instances: Sequence[str | None], *, are_listed: bool = False
) -> list[tuple[int, str]]:
    """Name the files of one series, whose instances are given by their InstanceNumber.

    Return (position in `instances`, name) in the order of the files. Those of a whole series are ordered by
    InstanceNumber, and counted from 0 if two are equal. Those that were listed one by one (`are_listed`) keep
    their order and their numbers.
    """
    head, digits = _head(modality)
    unique = UniqueNames()
    numbers = enumerate(map(_instance_number, instances)) if are_listed else _in_order(instances)
    return [(position, unique.add(f"{head}{number:0{digits}}.dcm")) for position, number in numbers]


def only_file_name(modality: str, number: str | None) -> str:
    """Name the only file of an archive, an instance with this InstanceNumber."""
    head, digits = _head(modality)
    return f"{head}{_instance_number(number):0{digits}}.dcm"


@lru_cache(_MOST_REMEMBERED)
def _head(modality: str) -> tuple[str, int]:
    """Return how the names of the files of a series begin, and how many digits follow."""
    prefix = modality.encode("ascii", "ignore").decode().upper()[:2]
    # With a digit, since only white space at an end goes.
    return clean(f"{prefix}0", utf8=False)[:-1], 8 - len(prefix)


def media_file_name(position: int) -> str:
    """Return the name of the file at `position` of a media, in the folder `IMAGES`."""
    return f"IM{position}"


class UniqueNames:
    """Gives each name within one folder once: the second use gets `-2`, the third `-3`."""

    def __init__(self) -> None:
        self._uses: Counter[str] = Counter()
        self._given: set[str] = set()

    def add(self, name: str) -> str:
        """Return `name`, or `name` with the next free suffix."""
        unique = name
        while True:
            self._uses[name] += 1
            if self._uses[name] > 1:
                unique = f"{name}-{self._uses[name]}"
            if unique not in self._given:
                self._given.add(unique)
                return unique


def _joined(tags: Tags, keys: Sequence[str]) -> str:
    return " - ".join(filter(None, map(tags.get, keys)))


def _folder(text: str, unknown: str, *, utf8: bool) -> str:
    name = clean(text, utf8=utf8)
    # Orthanc gives `..` away as a folder; a reader that follows it would leave the place of the archive.
    return name if name.strip("^") and name.strip(". ") else unknown


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _instance_number(text: str | None) -> int:
    value = (text or "").strip()
    if not value.isascii() or not value.removeprefix("+").isdigit() or len(value) > _MAX_DIGITS:
        return 0
    return int(value) & 0xFFFFFFFF


def _in_order(instances: Sequence[str | None]) -> list[tuple[int, int]]:
    numbers = [_instance_number(text) for text in instances]
    ordered = sorted(enumerate(numbers), key=lambda pair: pair[1])
    if len(set(numbers)) == len(numbers):
        return ordered
    return [(position, count) for count, (position, _) in enumerate(ordered)]
