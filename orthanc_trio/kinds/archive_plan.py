"""What an archive contains: resources -> files in their order, with their places in the storage and the ZIP.

Functions of a read transaction: they run on a thread of the index.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial, reduce
from itertools import islice
from typing import NamedTuple, Protocol

from msgspec import Struct
from msgspec.structs import replace

from ..dicom.archive_names import (
    Layout,
    UniqueNames,
    file_names,
    layout_of,
    media_file_name,
    only_file_name,
    only_folder,
    patient_folder,
    series_folder,
    study_folder,
)
from ..index.transaction import MainTags, ReadTransaction
from ..model.errors import InexistentItem, UnknownResource
from ..model.resource import Attachment, Compression, LeafInstance, ResourceLevel, SeriesPath

_MODALITY = "0008,0060"
# Pixels that a codec has packed do not shrink again: JPEG families and video, deflated datasets and frames.
_PACKED_SYNTAXES = ("1.2.840.10008.1.2.4.", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.8.")

SMALL_INSTANCES = 64
SMALL_BYTES = 4 << 20
"""An archive within these limits is planned at once, and made in one hop to a thread: see `archive_whole`."""

_FIRST_PAGE = 64
_LARGEST_PAGE = 4096
_MEDIA_FOLDER = "IMAGES/"


class _Series(NamedTuple):
    path: SeriesPath
    instances: Callable[[], list[tuple[str, str | None]]]
    """Looks up the instances, with their numbers: all, by identifier, or those that are asked for."""
    are_listed: bool


class _NameOf(Protocol):
    def __call__(self, tags: Mapping[str, str], *, utf8: bool) -> str: ...


class ArchiveArgs(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Which resources to put into an archive, and how they were asked for.

    Each pending job holds one, encoded: so only what is not a matter of course.
    """

    resources: tuple[str, ...]
    """Orthanc identifiers. Only an instance may be listed twice: then it is written twice."""
    level: ResourceLevel | None = None
    """The level in the URL, of which the one resource must be; None for `/tools/create-*`."""
    is_post: bool = True
    """POST or GET: the folders of a series depend on it."""
    is_extended: bool = False
    """Media only: more tags in the DICOMDIR."""
    utf8: bool = False
    """Keep characters beyond ASCII in the names of folders."""
    filename: str = "Archive.zip"
    """The name that the download is to have."""
    has_manifest: bool = False
    """End with a list of the members and their checksums."""
    transcode: str | None = None
    """The transfer syntax that all members are to have."""
    lossy_quality: int | None = None
    """1 to 100, if `transcode` loses something; None for the default."""


class Deflated(Struct, frozen=True, array_like=True, gc=False):
    """A file that is stored as a raw deflate stream of `size` bytes; `crc32` is that of its content."""

    size: int
    crc32: int


class Member(Struct, frozen=True, array_like=True, gc=False):
    """One file of the archive: `folder` is a position in the plan's list, `size` in bytes uncompressed.

    `uid` is its SOP Instance UID, if there will be a manifest; `id` is the instance's.
    """

    folder: int
    name: str
    key: str
    size: int
    is_compressed: bool
    uid: str = ""
    id: str = ""
    deflated: Deflated | None = None
    is_to_transcode: bool = False


class ArchivePlan(Struct, frozen=True, gc=False):
    """All members of the archive in their order, or the next of them. Each folder is a path that ends with a
    slash.
    """

    folders: tuple[str, ...] = ()
    members: tuple[Member, ...] = ()
    is_whole: bool = True
    """False as long as pages are missing."""

    def extended(self, page: "ArchivePlan") -> "ArchivePlan":
        """Return the plan with the page that comes next."""
        return replace(self, folders=self.folders + page.folders, members=self.members + page.members)

    @property
    def size(self) -> int:
        """The bytes of the members, uncompressed."""
        return sum([member.size for member in self.members])

    def path(self, member: Member) -> str:
        """Return the name of a member in the ZIP."""
        return self.folders[member.folder] + member.name


Pages = Callable[[ReadTransaction, ArchiveArgs], Iterator[ArchivePlan]]
"""Plans an archive page by page, all of one view of the index: `archive_pages` or `media_pages`."""


class Survey(Struct, frozen=True, gc=False):
    """What an archive will hold, and the plan of a small one; of a large one no page is made yet."""

    instances: int
    size: int
    plan: ArchivePlan


def check_resources(tx: ReadTransaction, args: ArchiveArgs) -> None:
    """Raise InexistentItem for the resource of a URL that does not exist or is of another level, and
    UnknownResource for one of a list.
    """
    for id in args.resources:
        row = tx.find(id)
        if args.level is not None and (row is None or row.level is not args.level):
            raise InexistentItem(f"Missing resource while creating an archive: {id}")
        if row is None:
            raise UnknownResource


def survey(tx: ReadTransaction, args: ArchiveArgs, pages: Pages) -> Survey:
    """Count instances and bytes, and plan a small archive at once."""
    known = [tx.statistics_of(id) for id in _without_repetition(tx, args.resources)]
    found = [statistics for statistics in known if statistics is not None]
    instances, size = sum(each.instances for each in found), sum(each.uncompressed_size for each in found)
    if instances > SMALL_INSTANCES or size > SMALL_BYTES:
        return Survey(instances, size, ArchivePlan(is_whole=False))
    return Survey(instances, size, reduce(ArchivePlan.extended, pages(tx, args), ArchivePlan()))


def survey_instance(tx: ReadTransaction, args: ArchiveArgs) -> Survey | None:
    """Do as `check_resources` and `survey` with `archive_pages` do, in one query.

    None if the archive is not that of one instance, or that cannot be.
    """
    if len(args.resources) != 1 or args.level not in (None, ResourceLevel.INSTANCE):
        return None
    placed = tx.placed(args.resources[0])
    if placed is None:
        return None
    if placed.size > SMALL_BYTES:
        return Survey(1, placed.size, ArchivePlan(is_whole=False))
    folder = only_folder(placed.patient, placed.study, placed.series, utf8=args.utf8)
    name = only_file_name(placed.series.get(_MODALITY, ""), placed.leaf.instance_number)
    member = _member(args, placed.leaf, 0, name)
    return Survey(1, placed.size, ArchivePlan((folder,), (member,)))


def archive_pages(tx: ReadTransaction, args: ArchiveArgs) -> Iterator[ArchivePlan]:
    """Plan a ZIP with a tree of folders, page by page. What vanished since the submission is passed over."""
    return _pages(tx, args, _tree_of(tx, args))


def media_pages(tx: ReadTransaction, args: ArchiveArgs) -> Iterator[ArchivePlan]:
    """Plan a ZIP with one flat folder, in the order of the tree; the DICOMDIR is not a part of the plan."""
    files = (
        _File(_MEDIA_FOLDER, "", id)
        for series in _series_of(tx, args.resources)
        for id, _ in _named("", series)
    )
    numbered = (file._replace(name=media_file_name(position)) for position, file in enumerate(files))
    return _pages(tx, args, numbered)


class _File(NamedTuple):
    folder: str
    name: str
    id: str


def _pages(tx: ReadTransaction, args: ArchiveArgs, files: Iterator[_File]) -> Iterator[ArchivePlan]:
    """Find the files themselves, in few queries; the first page is a small one that is quickly made."""
    folders: dict[str, int] = {}
    size = _FIRST_PAGE
    while page := list(islice(files, size)):
        known = len(folders)
        leaves = {leaf.id: leaf for leaf in tx.leaves([file.id for file in page])}
        members = [
            _member(args, leaves[file.id], folders.setdefault(file.folder, len(folders)), file.name)
            for file in page
            if file.id in leaves
        ]
        yield ArchivePlan(tuple(folders)[known:], tuple(members))
        size = min(4 * size, _LARGEST_PAGE)


def _tree_of(tx: ReadTransaction, args: ArchiveArgs) -> Iterator[_File]:
    tree = _series_of(tx, args.resources)
    tags = tx.tags_of(sorted({id for series in tree for id in series.path}))
    folders = _Folders(tags, layout_of(args.level, is_post=args.is_post), utf8=args.utf8)
    for series in tree:
        folder, modality = folders.path(series.path), tags[series.path[2]].own.get(_MODALITY, "")
        for id, name in _named(modality, series):
            yield _File(folder, name, id)


def _named(modality: str, series: _Series) -> Iterator[tuple[str, str]]:
    instances = series.instances()
    numbers = [number for _, number in instances]
    for position, name in file_names(modality, numbers, are_listed=series.are_listed):
        yield instances[position][0], name


def _member(args: ArchiveArgs, leaf: LeafInstance, folder: int, name: str) -> Member:
    return Member(
        folder=folder,
        name=name,
        key=leaf.attachment.uuid,
        size=leaf.attachment.uncompressed_size,
        deflated=_deflated(leaf.attachment),
        is_compressed=is_packed(leaf.transfer_syntax),
        uid=leaf.sop_instance_uid if args.has_manifest else "",
        id=leaf.id,
        is_to_transcode=args.transcode not in (None, leaf.transfer_syntax),
    )


def _deflated(attachment: Attachment) -> Deflated | None:
    if attachment.compression == Compression.NONE:
        return None
    return Deflated(attachment.size, attachment.crc32)


def is_packed(transfer_syntax: str) -> bool:
    """Whether files of a transfer syntax do not become smaller in a ZIP."""
    return transfer_syntax.startswith(_PACKED_SYNTAXES)


def _without_repetition(tx: ReadTransaction, ids: Sequence[str]) -> list[str]:
    """Drop what lies below another one, and all but the first of equal non-instances.

    Of several also what is unknown.
    """
    if len(ids) == 1:
        return list(ids)
    given = set(ids)
    kept: list[str] = []
    seen: set[str] = set()
    for id in ids:
        row = tx.find(id)
        if row is None or any(ref.id in given for ref in tx.ancestors(id)):
            continue
        if row.level is ResourceLevel.INSTANCE or id not in seen:
            kept.append(id)
        seen.add(id)
    return kept


def _series_of(tx: ReadTransaction, ids: Sequence[str]) -> list[_Series]:
    """Return the series in the order of the tree. The instances of one are looked up when they are wanted."""
    whole: set[SeriesPath] = set()
    alone: defaultdict[SeriesPath, list[str]] = defaultdict(list)
    for id in _without_repetition(tx, ids):
        found, paths = tx.find(id), tx.series_paths(id)
        if found is not None and found.level is ResourceLevel.INSTANCE:
            alone[paths[0]].append(id)
        else:
            whole.update(paths)
    series = [_Series(path, partial(tx.numbered, path[2]), are_listed=False) for path in whole]
    listed = [_Series(path, partial(_numbered, tx, ids), are_listed=True) for path, ids in alone.items()]
    return sorted(series + listed, key=lambda each: each.path)


def _numbered(tx: ReadTransaction, ids: list[str]) -> list[tuple[str, str | None]]:
    return [(leaf.id, leaf.instance_number) for leaf in tx.leaves(ids)]


class _Folders:
    """Names the folders of one archive: each resource once, each name once within its parent."""

    def __init__(self, tags: Mapping[str, MainTags], layout: Layout, *, utf8: bool) -> None:
        self._tags = tags
        self._layout = layout
        self._utf8 = utf8
        self._paths: dict[tuple[str, ...], str] = {}
        self._names: defaultdict[str, UniqueNames] = defaultdict(UniqueNames)

    def path(self, path: SeriesPath) -> str:
        """Return the folder of a series, with a slash at its end."""
        patient, study, series = path
        folder = ""
        if self._layout is not Layout.SERIES:
            folder = self._enter(folder, (patient,), patient_folder, self._patient_tags(patient, study))
            folder = self._enter(folder, (patient, study), study_folder, self._tags[study].own)
        return self._enter(folder, path, series_folder, self._tags[series].own)

    def _enter(self, parent: str, path: tuple[str, ...], name_of: _NameOf, tags: Mapping[str, str]) -> str:
        if path not in self._paths:
            name = self._names[parent].add(name_of(tags, utf8=self._utf8))
            self._paths[path] = f"{parent}{name}/"
        return self._paths[path]

    def _patient_tags(self, patient: str, study: str) -> Mapping[str, str]:
        if self._layout is Layout.PATIENT:
            return self._tags[patient].own
        return self._tags[study].patient
