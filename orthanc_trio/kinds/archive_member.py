"""The file of a member: where it lies, and what the ZIP gets of it."""

from .. import zipfmt
from ..model.errors import CorruptedFile
from ..storage.area import Blob, StorageArea
from ..storage.content import DeflatedBlob
from .archive_plan import Member


def open_member(area: StorageArea, member: Member) -> Blob:
    """Return the content of the file of a member, however it is stored. Reads nothing yet."""
    if member.deflated is None:
        return area.open(member.key, member.size)
    return DeflatedBlob(area.open(member.key, member.deflated.size), member.size, member.deflated.crc32)


def copy_deflated(path: str, blob: DeflatedBlob, time: int) -> zipfmt.Packed:
    """Make a member of a file that is stored deflated: its bytes are those of the archive.

    Raises InexistentFile, CorruptedFile.
    """
    payload = blob.stored.read()
    if len(payload) != blob.stored.size:
        raise CorruptedFile
    return zipfmt.pack_deflated(path, payload, time, crc=blob.crc32, size=blob.size)
