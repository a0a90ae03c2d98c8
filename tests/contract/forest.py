"""Small forests of resources for the tests of the index, and what can be seen of one."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path

from orthanc_trio.index.index import Index
from orthanc_trio.index.transaction import ReadTransaction, Transaction
from orthanc_trio.model.event import Change, ChangeType
from orthanc_trio.model.resource import (
    Attachment,
    AttachmentType,
    Metadata,
    ResourceLevel,
)

PATIENT, STUDY, SERIES, INSTANCE = ResourceLevel
NOW = datetime(2026, 11, 22, 5, 54, 1, 123456, tzinfo=UTC)


def dicom_file(key: str, size: int = 10) -> Attachment:
    return Attachment(
        type=AttachmentType.DICOM,
        uuid=key,
        size=size,
        uncompressed_size=2 * size,
        md5="m",
        uncompressed_md5="u",
        crc32=0xFEDCBA98,
    )


def store(tx: Transaction, path: str) -> int:
    """Store the instance of a path such as `p/s/e/i`, with the ancestors that it lacks; return its row."""
    row: int | None = None
    ids = path.split("/")
    for level, id in zip(ResourceLevel, ids, strict=False):
        found = tx.find(id)
        tags = {"0008,0018": f"uid-{id}", "0010,0010": id}
        patient_tags = {"0010,0010": f"patient of {id}"} if level is ResourceLevel.STUDY else None
        row = found.row if found else tx.create(level, id, row, tags, patient_tags)
    assert row is not None
    if len(ids) == INSTANCE:
        tx.set_metadata(row, {Metadata.TRANSFER_SYNTAX: "1.2", Metadata.INDEX_IN_SERIES: ids[-1]})
        tx.attach(row, dicom_file(f"file-{ids[-1]}"))
    return row


def store_all(*paths: str) -> Callable[[Transaction], None]:
    """Return a function for `Index.write` that stores the instances of some paths."""

    def function(tx: Transaction) -> None:
        for path in paths:
            store(tx, path)

    return function


def row_of(tx: ReadTransaction, id: str) -> int:
    found = tx.find(id)
    assert found is not None
    return found.row


def log_changes(tx: Transaction, id: str, *types: ChangeType) -> list[Change]:
    return [tx.log_change(type, row_of(tx, id), NOW) for type in types]


def numbers(changes: tuple[Change, ...]) -> list[int]:
    return [change.seq for change in changes]


class Refused(Exception):
    """What a function of these tests raises."""


class Backend(ABC):
    """What the tests of a contract need to know of a backend."""

    @abstractmethod
    def open(self, folder: Path) -> AbstractAsyncContextManager[Index]: ...


def dump(tx: ReadTransaction) -> dict[str, object]:
    """Return all that can be seen of an index."""
    ids = [id for level in ResourceLevel for id in tx.ids(level)]
    return {
        "facts": tx.facts_of(ids),
        "tags": tx.tags_of([*ids, "none"]),
        "attachments": [tx.attachments(row_of(tx, id)) for id in ids],
        "metadata": [tx.metadata_item(row_of(tx, id), type) for id in ids for type in range(1, 5)],
        "labels": tx.labels_in_use(),
        "oldest": [tx.oldest_patient(id) for id in (None, *tx.ids(PATIENT))],
        "ancestors": [tx.ancestors(id) for id in ids],
        "series_paths": [tx.series_paths(id) for id in ids],
        "numbered": [tx.numbered(id) for id in tx.ids(SERIES)],
        "leaves": tx.leaves(ids),
        "placed": [tx.placed(id) for id in (*ids, "none")],
        "statistics": tx.statistics(),
        "statistics_of": [tx.statistics_of(id) for id in ids],
        "changes": tx.changes(limit=1000),
        "forgotten": tx.forgotten_files(1000),
        "jobs": sorted(tx.load_jobs(bytes)),
        "plans": [tx.load_plan(id) for id in ("a", "b")],
        "outputs": [
            (file, used_s, tx.load_output(file)) for file, used_s in sorted(tx.output_uses().items())
        ],
        "property": tx.get_property("key"),
    }
