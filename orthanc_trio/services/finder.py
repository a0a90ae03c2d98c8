"""Search resources. Source: the Orthanc Book, "Finding resources"; `/tools/find`, `/tools/lookup`.

What the index holds is searched there. A search by computed tags, or by tags of the files, looks at all
resources that meet the other conditions, one after the other.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from ..dicom.computed import COMPUTED, MODALITIES_IN_STUDY, MODALITY
from ..dicom.dictionary import tag_text
from ..dicom.main_tags import IndexedTags, places
from ..dicom.match import Criterion, Equal, Like, OneOf, criterion_of, fold, folded, longest_text, matches
from ..index.index import Index
from ..index.query import Condition, FindRequest, Key, MetadataKey, TagKey
from ..index.transaction import ReadTransaction
from ..model.errors import BadRequest
from ..model.resource import Metadata, ResourceLevel, ResourceRef
from ..model.tags import MainDicomTags
from .child_files import ChildFiles
from .library import Description, Library
from .requested_tags import RequestedTags

_BATCH = 50
_FEW = 200
_TELLING = 3  # letters within a text
_IDENTIFIERS = {
    ResourceLevel.PATIENT: "0010,0020",
    ResourceLevel.STUDY: "0020,000d",
    ResourceLevel.SERIES: "0020,000e",
    ResourceLevel.INSTANCE: "0008,0018",
}


class Search(Struct, frozen=True, kw_only=True):
    """What is searched: a request to the index, and tags whose values it does not hold."""

    request: FindRequest
    computed: tuple[tuple[str, Criterion], ...] = ()
    from_files: tuple[tuple[int, Criterion], ...] = ()
    is_exact: bool = False
    is_vain: bool = False
    """Whether nothing can meet it, because of a computed tag of another level."""
    is_quick: bool = False
    shown_tags: tuple[int, ...] = ()
    """The tags that are no main tags, and that answers show therefore."""

    @property
    def is_of_index(self) -> bool:
        """Whether the index decides alone."""
        return not (self.computed or self.from_files)


_MODALITY_BELOW = TagKey(ResourceLevel.SERIES, MODALITY)
_IN_METADATA: dict[str, Key] = {"0008,0016": MetadataKey(Metadata.SOP_CLASS_UID)}


class FindLimits(Struct, frozen=True):
    """The most that a search finds, of instances and of all else; None is no limit."""

    results: int | None = None
    instances: int | None = None

    def of(self, level: ResourceLevel, limit: int | None) -> int | None:
        """Return the limit of a search that asks for `limit`."""
        most = self.instances if level is ResourceLevel.INSTANCE else self.results
        return min((one for one in (most, limit) if one is not None), default=None)


class Finder:
    """Finds resources. Safe to call at any time; never changes anything."""

    def __init__(
        self,
        index: Index,
        library: Library,
        files: ChildFiles,
        requested: RequestedTags,
        *,
        tags: IndexedTags,
        limits: FindLimits,
        may_read: bool,
    ) -> None:
        self._index = index
        self._library = library
        self._files = files
        self._requested = requested
        self._keys = {level: _keys(tags.table, level) for level in ResourceLevel}
        self._tags = tags
        self._limits = limits
        self._may_read = may_read

    def plan(self, request: FindRequest, tags: Iterable[tuple[int, str]], *, is_exact: bool) -> Search:
        """Add to a request what tags shall be, as text. An empty text is anything.

        Raises ParameterOutOfRange for wildcards where there are none.
        """
        conditions, computed, from_files, shown = list(request.conditions), [], [], []
        keys = self._keys[request.level]
        is_vain = False
        for number, text in tags:
            tag = tag_text(number)
            criterion = criterion_of(text, self._tags.entry(tag).vr, tag)
            if criterion is None:
                continue
            known, key = COMPUTED.get(tag), keys.get(tag)
            if not isinstance(key, TagKey):
                shown.append(number)
            if known is not None:
                is_vain |= known.level is not request.level
                if tag == MODALITIES_IN_STUDY:
                    conditions.append(Condition(_MODALITY_BELOW, criterion, is_exact))
                else:
                    computed.append((tag, criterion))
            elif key is not None:
                conditions.append(Condition(key, criterion, is_exact))
            else:
                from_files.append((number, criterion))
        planned = replace(
            request,
            conditions=tuple(conditions),
            limit=self._limits.of(request.level, request.limit),
        )
        return Search(
            request=planned,
            computed=tuple(computed),
            from_files=tuple(from_files),
            is_exact=is_exact,
            is_vain=is_vain,
            is_quick=_is_quick(planned),
            shown_tags=tuple(shown),
        )

    def order_key(self, number: int, level: ResourceLevel) -> TagKey:
        """Return the key to order by a tag. Raises BadRequest for one that is no main tag."""
        key = self._keys[level].get(tag_text(number))
        if not isinstance(key, TagKey) or key.level > level:
            raise BadRequest(
                f"Cannot order by a tag that is no main DICOM tag of the level or above: {tag_text(number)}"
            )
        return key

    async def ids(self, search: Search) -> list[str]:
        """Return the identifiers of what meets a search, in its order.

        Raises BadRequest for `since` if files have to be read.
        """
        request = search.request
        if search.from_files and request.since:
            raise BadRequest(
                "Unable to use 'Since' in tools/find when querying tags that are not stored as MainDicomTags"
                " in the Database"
            )
        if search.is_vain or (search.from_files and not self._may_read):
            return []
        if search.is_of_index:
            return await self._index.read(lambda tx: tx.search(request), is_quick=search.is_quick)
        everything = replace(request, since=0, limit=self._limits.of(request.level, None))
        found = await self._index.read(lambda tx: tx.search(everything))
        for tag, criterion in search.computed:
            values = await self._requested.computed(found, COMPUTED[tag].source)
            found = [id for id in found if _meets(criterion, values.get(id), search.is_exact)]
        end = None if request.limit is None else request.since + request.limit
        if search.from_files:
            found = await self._with_files(found, search, end)
        return found[request.since : end]

    async def _with_files(self, ids: Sequence[str], search: Search, most: int | None) -> list[str]:
        """Return the first of `ids`, `most` at most, whose files meet a search."""
        met: list[str] = []
        tags = frozenset(number for number, _ in search.from_files)
        for start in range(0, len(ids), _BATCH):
            if most is not None and len(met) >= most:
                break
            described = await self._library.describe_all(ids[start : start + _BATCH])
            values = await self._files.values(described, tags)
            for each in described:
                own = values.get(each.facts.id, {})
                given = ((own.get(tag_text(number)), criterion) for number, criterion in search.from_files)
                if all(
                    _meets(criterion, value if isinstance(value, str) else None, search.is_exact)
                    for value, criterion in given
                ):
                    met.append(each.facts.id)
        return met

    async def count(self, search: Search) -> int:
        """Return how many resources meet a search, on all pages. Only the index is asked."""
        request = search.request
        return 0 if search.is_vain else await self._index.read(lambda tx: tx.count(request))

    async def lookup(self, identifier: str) -> list[ResourceRef]:
        """Return the resources that bear a PatientID or a UID, from the patient down, then by identifier."""
        texts = tuple(dict.fromkeys((identifier, identifier.strip())))

        def search(tx: ReadTransaction) -> list[ResourceRef]:
            return [
                ResourceRef(level, id)
                for level, tag in _IDENTIFIERS.items()
                for id in tx.search(
                    FindRequest(level=level, conditions=(Condition(TagKey(level, tag), OneOf(texts)),))
                )
            ]

        return await self._index.read(search, is_quick=True) if identifier.strip() else []

    async def describe_moved(self, ids: Sequence[str], level: ResourceLevel | None) -> list[Description]:
        """Describe resources of any level, or what is above or below them at `level`.

        With a level each is told once, in ascending order; else in the order of `ids`. Unknown ones are
        passed over.
        """
        if level is None:
            return await self._library.describe_all(ids)

        def move(tx: ReadTransaction) -> set[str]:
            return {other for id in dict.fromkeys(ids) for other in _moved(tx, id, level)}

        return await self._library.describe_all(sorted(await self._index.read(move)))


def _keys(table: MainDicomTags, level: ResourceLevel) -> dict[str, Key]:
    """Return where the index has tags for a search at a level: there, else above, else below."""
    below = {row.tag: low for low in reversed(ResourceLevel) if low > level for row in table[low]}
    keys = _IN_METADATA if level is ResourceLevel.INSTANCE else {}
    return keys | {tag: TagKey(place, tag) for tag, place in (below | places(table, level)).items()}


def _moved(tx: ReadTransaction, id: str, level: ResourceLevel) -> list[str]:
    found = tx.find(id)
    if found is None:
        return []
    if found.level is level:
        return [id]
    if found.level < level:
        return tx.descendants(id, level)
    return [up.id for up in tx.ancestors(id) if up.level is level]


def _meets(criterion: Criterion, value: str | None, is_exact: bool) -> bool:
    if is_exact or value is None:
        return matches(criterion, value)
    return matches(folded(criterion), fold(value))


def _is_quick(request: FindRequest) -> bool:
    """Tell whether an index leads to few resources, or few are asked for."""
    if not request.conditions:
        return request.limit is not None and request.limit <= _FEW and not request.order
    return any(_is_selective(condition, request.level) for condition in request.conditions)


def _is_selective(condition: Condition, level: ResourceLevel) -> bool:
    if not isinstance(condition.key, TagKey) or condition.key.level > level:
        return False
    match condition.criterion:
        case Equal() | OneOf():
            return True
        case Like(pattern):
            return not pattern.startswith(("*", "?")) or len(longest_text(pattern)) >= _TELLING
        case _:
            return False
