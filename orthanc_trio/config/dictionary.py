"""The option `Dictionary`: tags that this server knows besides those of the standard and of the vendors.

An entry is `"gggg,eeee": [VR, name, least = 1, most = 1, private creator = ""]`; a private tag may be written
`gggg,ee`. Source: the Orthanc Book, "Configuration of Orthanc", option Dictionary.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ..model.errors import BadFileFormat, ParameterOutOfRange, UnknownDicomTag
from ..model.tags import OwnTag

_TAG = re.compile("([0-9a-fA-F]{4})[,-]?([0-9a-fA-F]{4}|[0-9a-fA-F]{2})")
_KNOWN_VRS = (
    "AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV"
)
_VRS: Final = frozenset(_KNOWN_VRS.split())
_FEWEST, _MOST = 2, 5
_FIRST_PRIVATE_GROUP, _NO_GROUP = 0x0009, 0xFFFF


def own_tags(option: Mapping[str, Any]) -> Iterator[OwnTag]:
    """Yield the entries of the option.

    Raises UnknownDicomTag for what is no tag, BadFileFormat for an entry of another form, ParameterOutOfRange
    for a VR, a multiplicity or a group that cannot be.
    """
    for tag, definition in option.items():
        number = _number(tag)
        if not _is_definition(definition):
            raise BadFileFormat(f"The definition of the '{tag}' dictionary entry is invalid.")
        yield _checked(OwnTag(number, *definition))


def _number(text: str) -> int:
    found = _TAG.fullmatch(text)
    if found is None:
        raise UnknownDicomTag(text)
    return int(found[1], 16) << 16 | int(found[2], 16)


def _is_definition(value: object) -> bool:
    if not isinstance(value, list) or not _FEWEST <= len(value) <= _MOST:
        return False
    expected = (str, str, int, int, str)
    # A bool is an int for Python, and none for JSON.
    return all(type(item) is type_ for item, type_ in zip(value, expected, strict=False))


def _checked(tag: OwnTag) -> OwnTag:
    shown = f"({tag.number >> 16:04x},{tag.number & 0xFFFF:04x})"
    if tag.vr not in _VRS:
        raise ParameterOutOfRange(f"Unsupported value representation encountered: {tag.vr}")
    if tag.least < 1 or (tag.most != 0 and tag.most < tag.least):
        raise ParameterOutOfRange(f"Bad multiplicity of the tag {shown} in the dictionary")
    group = tag.number >> 16
    if tag.creator and (group % 2 == 0 or group < _FIRST_PRIVATE_GROUP or group == _NO_GROUP):
        raise ParameterOutOfRange(
            f"Trying to register private tag {shown}, but it must have an odd group >= 0x0009"
        )
    return tag
