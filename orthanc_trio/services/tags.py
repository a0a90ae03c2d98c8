"""The tags of instances, read from their files. Source: the Orthanc Book, "DICOM-as-JSON".

Reading and parsing is one hop to a storage thread. What is asked for without options is kept, by the key of
the file: a key is written once, so what is kept never becomes untrue.
"""

from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from ..dicom.content import read_content
from ..dicom.dictionary import Dictionary
from ..dicom.json_model import json_model, xml_of
from ..dicom.render import Format, Rendering, Tags, render_dataset, render_meta
from ..model.errors import BadFileFormat, UnknownResource
from ..model.resource import Attachment, Facts, Metadata
from ..storage.area import Storage, StorageArea
from ..storage.content import open_content
from .switches import Switches

MAX_READ_BYTES = 1 << 30
"""A larger file, or head of one, is not read for its tags."""
MAX_MODEL_BYTES = 128 << 20
"""A larger file is not shown as a whole, which takes several times its size."""
CACHE_BYTES = 32 << 20
_LONGEST_KEPT = 1 << 20
_META_BYTES = 64 * 1024
_PIXEL_HEADER_BYTES = 16
_DIGITS = 18

_NOTHING: frozenset[int] = frozenset()

_Key = tuple[str, Format, str]
"""The key of a file, and the two things that its encoding depends on."""


class TagReader:
    """Reads the files of instances for their tags."""

    def __init__(self, storage: Storage, *, switches: Switches, dictionary: Dictionary) -> None:
        self._storage = storage
        self._switches = switches
        self._dictionary = dictionary
        self._kept: OrderedDict[_Key, bytes] = OrderedDict()
        self.kept_bytes = 0
        self.hits = 0
        """How often tags were asked for that were kept, since the start."""
        self.misses = 0

    @property
    def kept_count(self) -> int:
        """How many encodings are kept."""
        return len(self._kept)

    async def encoded(
        self,
        instance: Facts,
        format: Format,
        *,
        unlimited: frozenset[int] = _NOTHING,
        whole: bool = False,
    ) -> bytes:
        """Return the tags of an instance as JSON, with sorted keys.

        `unlimited` are tags whose values are shown at any length; `whole` shows what follows PixelData.
        Raises BadFileFormat, UnknownResource or InexistentFile.
        """
        file = _file(instance)
        is_plain = not (unlimited or whole)
        key = file.uuid, format, self._switches.default_encoding
        known = self._kept.get(key) if is_plain else None
        if known is not None:
            self.hits += 1
            self._kept.move_to_end(key)
            return known
        self.misses += is_plain
        how = Rendering(format, self._switches.default_encoding, unlimited, self._dictionary)
        size = file.uncompressed_size if whole else _head_size(instance)

        def render(area: StorageArea) -> bytes:
            tags = render_dataset(_read(area, file, size), file.uncompressed_size, how, whole=whole)
            return msgspec.json.encode(tags, order="sorted")

        found = await self._storage.run(render)
        if is_plain:
            self._keep(key, found)
        return found

    async def tags(
        self, instance: Facts, *, format: Format = Format.FULL, unlimited: frozenset[int] = _NOTHING
    ) -> Tags:
        """Return the tags of an instance. Raises as `encoded`."""
        file, size = _file(instance), _head_size(instance)
        how = Rendering(format, self._switches.default_encoding, unlimited, self._dictionary)
        return await self._storage.run(
            lambda area: render_dataset(_read(area, file, size), file.uncompressed_size, how)
        )

    async def header(self, instance: Facts, format: Format) -> Tags:
        """Return the meta information of the file of an instance. Raises as `encoded`."""
        file = _file(instance)
        how = Rendering(format, self._switches.default_encoding, dictionary=self._dictionary)
        return await self._storage.run(
            lambda area: render_meta(_read(area, file, min(_META_BYTES, file.uncompressed_size)), how)
        )

    async def content(self, instance: Facts, path: Sequence[str]) -> list[str] | bytes | None:
        """Return what `read_content` finds in the file of an instance. Raises as it, and as `encoded`."""
        file = _file(instance)
        return await self._storage.run(
            lambda area: read_content(_read(area, file, file.uncompressed_size), path, self._dictionary)
        )

    async def model(self, instance: Facts, *, is_xml: bool) -> bytes:
        """Return a whole file as DICOM JSON Model, or as Native DICOM Model in XML. Raises as `encoded`."""
        file, encoding = _file(instance), self._switches.default_encoding
        if file.uncompressed_size > MAX_MODEL_BYTES:
            raise BadFileFormat("The file is too large to be shown as a whole")

        def read(area: StorageArea) -> bytes:
            data = _read(area, file, file.uncompressed_size)
            model = json_model(data, encoding, self._dictionary)
            if is_xml:
                return xml_of(model, self._dictionary).encode()
            return msgspec.json.encode(model, order="sorted")

        return await self._storage.run(read)

    def _keep(self, key: _Key, encoded: bytes) -> None:
        if len(encoded) > _LONGEST_KEPT or key in self._kept:
            return
        self._kept[key] = encoded
        self.kept_bytes += len(encoded)
        while self.kept_bytes > CACHE_BYTES:
            _, forgotten = self._kept.popitem(last=False)
            self.kept_bytes -= len(forgotten)


def _file(instance: Facts) -> Attachment:
    if instance.dicom is None:
        raise UnknownResource
    return instance.dicom


def _head_size(instance: Facts) -> int:
    """Return how much of the file reaches to its pixels: all, if that is not known."""
    size = _file(instance).uncompressed_size
    offset = instance.metadata.get(Metadata.PIXEL_DATA_OFFSET, "")
    if not (offset.isascii() and offset.isdigit() and len(offset) <= _DIGITS):
        return size
    return min(size, int(offset) + _PIXEL_HEADER_BYTES)


def _read(area: StorageArea, file: Attachment, size: int) -> bytes:
    if size > MAX_READ_BYTES:
        raise BadFileFormat("The file is too large to read its tags")
    return open_content(area, file).read(0, size)
