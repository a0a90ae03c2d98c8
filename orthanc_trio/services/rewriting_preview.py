"""What a modification would do to some instances, found out without storing anything.

Worker processes compare, since all tags of a file and of its result are read.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import trio
from msgspec import Struct

from ..dicom.dictionary import Dictionary
from ..dicom.difference import Change, ChangeType, differences
from ..dicom.identity import Original
from ..dicom.modification import Modification
from ..model.errors import BadFileFormat, OrthancError
from ..storage.area import Storage
from ..storage.content import open_content
from .rewriting import Recipe, RewritingOptions, Source, make_rewriter
from .transcoding import CPU_LIMIT_S, InWorker, dying_after

_MAX_BYTES: Final = 64 << 20
_MAX_UIDS: Final = 1000


class Preview(Struct, frozen=True, kw_only=True):
    """What would become of one instance, or why nothing would."""

    id: str
    changes: tuple[Change, ...] = ()
    error: OrthancError | None = None


async def preview(
    storage: Storage,
    in_worker: InWorker,
    recipe: Recipe,
    options: RewritingOptions,
    sources: Sequence[Source],
    *,
    threads: int,
) -> list[Preview]:
    """Return what would become of some instances, in their order. Safe to cancel."""
    previews: dict[int, Preview] = {}
    rest = iter(enumerate(sources))

    async def work() -> None:
        for number, source in rest:
            previews[number] = await _preview(storage, in_worker, recipe, options, source)

    async with trio.open_nursery() as nursery:
        for _ in range(threads):
            nursery.start_soon(work)
    return [previews[number] for number in range(len(sources))]


async def _preview(
    storage: Storage, in_worker: InWorker, recipe: Recipe, options: RewritingOptions, source: Source
) -> Preview:
    id, file = source.ids.instance, source.file
    try:
        if file.uncompressed_size > _MAX_BYTES:
            raise BadFileFormat("The file is too large to be compared")
        data = await storage.run(lambda area: open_content(area, file).read())
        changes = await in_worker(compare, data, recipe.modification, recipe.key, recipe.given, options)
    except OrthancError as error:
        return Preview(id=id, error=error)
    return Preview(id=id, changes=tuple(changes))


def compare(
    data: bytes,
    modification: Modification,
    key: bytes,
    given: Mapping[Original, bytes],
    options: RewritingOptions,
) -> list[Change]:
    """Compare a file with what a modification makes of it, in a worker process."""
    with dying_after(CPU_LIMIT_S):
        rewritten = make_rewriter(modification, key, given, options).rewrite(data)
        return differences(
            data,
            rewritten.whole(data),
            default_encoding=options.default_encoding,
            dictionary=options.dictionary,
        )


def preview_json(previews: Sequence[Preview], dictionary: Dictionary) -> dict[str, Any]:
    """Return what is shown of previews: each instance, and the new UIDs by the old ones."""
    return {
        "DryRun": True,
        "Differences": [_shown(one) for one in previews],
        "UIDs": _uids(previews, dictionary),
    }


def _shown(one: Preview) -> dict[str, Any]:
    if one.error is not None:
        text = ": ".join(filter(None, (one.error.code.description, one.error.details)))
        return {"ID": one.id, "Error": text}
    return {"ID": one.id, "Changes": msgspec.to_builtins(one.changes)}


def _uids(previews: Sequence[Preview], dictionary: Dictionary) -> dict[str, str]:
    """Return the UIDs that become others, the first of them."""
    uids: dict[str, str] = {}
    for one in previews:
        for change in one.changes:
            is_other = change.type is ChangeType.CHANGED and change.old and change.new
            if is_other and len(uids) < _MAX_UIDS and _is_uid(change.path, dictionary):
                uids[str(change.old)] = str(change.new)
    return uids


def _is_uid(path: str, dictionary: Dictionary) -> bool:
    return dictionary.entry_of(int(path[-9:].replace(",", ""), 16)).vr == b"UI"
