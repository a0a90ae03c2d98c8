"""The tags that clients ask for besides those that a resource shows anyway.

They come from the index, from what the index can compute, else from the file of one child. Source: the
Orthanc Book, `requested-tags`, `RequestedTags`, option `StorageAccessOnFind`.
"""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence

from ..dicom.computed import COMPUTED, Always, Computation, CountBelow, MetadataBelow, TagBelow
from ..dicom.dictionary import tag_text
from ..dicom.main_sequences import sequences_of_text
from ..dicom.main_tags import places
from ..index.index import Index
from ..index.query import MetadataKey, TagKey
from ..model.resource import Facts, Metadata, ResourceLevel
from ..model.tags import MainDicomTags
from .child_files import ChildFiles, Value
from .library import Description, Library

_META_GROUP = "0002,"
_SOP_CLASS_UID = "0008,0016"
_logger = logging.getLogger(__name__)

Values = dict[str, Value]
"""What was found for one resource, by `gggg,eeee`."""


class RequestedTags:
    """Finds the values of tags for resources of one level. `may_read` is whether files may be read."""

    def __init__(
        self,
        index: Index,
        library: Library,
        files: ChildFiles,
        table: MainDicomTags,
        *,
        may_read: bool,
        warnings: Mapping[str, bool],
    ) -> None:
        self._index = index
        self._library = library
        self._files = files
        self._places = {level: places(table, level) for level in ResourceLevel}
        self._may_read = may_read
        self._warnings = warnings

    async def values(self, descriptions: Sequence[Description], tags: Sequence[int]) -> dict[str, Values]:
        """Return the values of `tags` by resource.

        A main tag that the resource lacks is absent. Where a file was read, what it lacks is None.
        """
        found: dict[str, Values] = {each.facts.id: {} for each in descriptions}
        if not descriptions:
            return found
        level = descriptions[0].facts.level
        missing: dict[str, set[int]] = defaultdict(set)
        for number in dict.fromkeys(tags):
            tag = tag_text(number)
            computed = COMPUTED.get(tag)
            place = self._places[level].get(tag)
            if tag.startswith(_META_GROUP):
                self._warn("W006_RequestingTagFromMetaHeader", "%s is in no dataset", tag)
            elif computed is not None:
                if computed.level is level:
                    await self._add_computed(found, tag, computed.source)
            elif place is not None:
                await self._add_main(found, descriptions, TagKey(place, tag), number, missing)
            elif level is ResourceLevel.INSTANCE and tag == _SOP_CLASS_UID:
                for each in descriptions:
                    found[each.facts.id][tag] = each.facts.metadata.get(Metadata.SOP_CLASS_UID)
            else:
                if any(tag in self._places[lower] for lower in ResourceLevel if lower > level):
                    self._warn("W005_RequestingTagFromLowerResourceLevel", "%s is of a lower level", tag)
                for id in found:
                    missing[id].add(number)
        if missing:
            await self._add_from_files(found, descriptions, missing, tags)
        return found

    async def _add_main(
        self,
        found: dict[str, Values],
        descriptions: Sequence[Description],
        key: TagKey,
        number: int,
        missing: dict[str, set[int]],
    ) -> None:
        """Add a main tag; it is missing where it was none yet, or perhaps, when the resource was stored."""
        facts_of = await self._facts_at(descriptions, key.level)
        for id, facts in facts_of.items():
            is_copied = facts.level is not key.level
            tags = (facts.patient_tags or {}) if is_copied else facts.tags
            signature = facts.metadata.get(Metadata.MAIN_DICOM_TAGS_SIGNATURE)
            if key.tag in tags:
                found[id][key.tag] = tags[key.tag]
            elif (items := _main_sequence(facts, key.tag)) is not None:
                found[id][key.tag] = items
            elif is_copied:
                continue
            elif signature is None:
                self._warn(
                    "W004_NoMainDicomTagsSignature", "nobody knows which tags are in the index of %s", id
                )
                missing[id].add(number)
            elif key.tag not in signature.split(";"):
                self._warn("W002_InconsistentDicomTagsInDb", "%s is not in the index of %s", key.tag, id)
                missing[id].add(number)

    async def _facts_at(self, descriptions: Sequence[Description], level: ResourceLevel) -> dict[str, Facts]:
        """Return the facts of each resource or of its ancestor; of patients, those of the study."""
        found = {each.facts.id: each.facts for each in descriptions}
        own = descriptions[0].facts.level
        if own > level:
            level = max(level, ResourceLevel.STUDY)
        for _ in range(own - level):
            parents = await self._library.describe_all(
                list(dict.fromkeys(facts.parent for facts in found.values() if facts.parent))
            )
            by_id = {each.facts.id: each.facts for each in parents}
            found = {id: by_id[facts.parent] for id, facts in found.items() if facts.parent in by_id}
        return found

    async def _add_computed(self, found: dict[str, Values], tag: str, source: Computation) -> None:
        for id, value in (await self.computed(list(found), source)).items():
            found[id][tag] = value

    async def computed(self, ids: Sequence[str], source: Computation) -> dict[str, str]:
        """Return the values of a computed tag for resources of its level, by id."""
        match source:
            case Always(value):
                return dict.fromkeys(ids, value)
            case CountBelow(level):
                counts = await self._index.read(lambda tx: tx.counts_below(ids, level))
                return {id: str(count) for id, count in counts.items()}
            case TagBelow(level, tag):
                key: TagKey | MetadataKey = TagKey(level, tag)
            case MetadataBelow(level, type):
                key = MetadataKey(type)
        values = await self._index.read(lambda tx: tx.values_below(ids, level, key))
        return {id: "\\".join(values.get(id, ())) for id in ids}

    async def _add_from_files(
        self,
        found: dict[str, Values],
        descriptions: Sequence[Description],
        missing: Mapping[str, set[int]],
        tags: Sequence[int],
    ) -> None:
        wanted = frozenset().union(*missing.values())
        shown = ";".join(map(tag_text, sorted(wanted)))
        if not self._may_read:
            self._warn("W007_MissingRequestedTagsNotReadFromDisk", "%s are not read from files", shown)
            return
        self._warn("W001_TagsBeingReadFromStorage", "%s are read from %d files", shown, len(missing))
        incomplete = [each for each in descriptions if each.facts.id in missing]
        level = incomplete[0].facts.level
        nothing = [
            tag_text(number) for number in tags if self._is_null_after_reading(tag_text(number), level)
        ]
        for id, values in (await self._files.values(incomplete, wanted)).items():
            found[id] |= {**dict.fromkeys(nothing), **found[id], **values}

    def _is_null_after_reading(self, tag: str, level: ResourceLevel) -> bool:
        """Tell whether a tag that was not found is shown as None once a file was read."""
        computed = COMPUTED.get(tag)
        if computed is not None:
            return isinstance(computed.source, CountBelow)
        return not tag.startswith(_META_GROUP) and tag not in self._places[level]

    def _warn(self, warning: str, text: str, *arguments: object) -> None:
        if self._warnings.get(warning, True):
            _logger.warning(f"{warning.partition('_')[0]}: {text}", *arguments)


def _main_sequence(facts: Facts, tag: str) -> Value:
    text = facts.metadata.get(Metadata.MAIN_DICOM_SEQUENCES)
    return None if text is None else sequences_of_text(text).get(tag)
