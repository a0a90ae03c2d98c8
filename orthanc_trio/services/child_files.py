"""Tags that the index lacks, read from the file of one child of each resource."""

from collections.abc import Sequence

from ..dicom.dictionary import tag_text
from ..dicom.render import Tags
from ..model.errors import OrthancError
from ..model.resource import Facts, ResourceLevel
from .library import Description, Library
from .tags import TagReader

Value = str | None | list[Tags]
"""A text, nothing, or the items of a sequence in the full format."""


class ChildFiles:
    """Reads one file below each resource: that of the first instance of the first series, and so on."""

    def __init__(self, library: Library, reader: TagReader) -> None:
        self._library = library
        self._reader = reader

    async def values(
        self, descriptions: Sequence[Description], tags: frozenset[int]
    ) -> dict[str, dict[str, Value]]:
        """Return the values of `tags` by id, and then `gggg,eeee`; what a file lacks is absent.

        A file that cannot be read holds nothing.
        """
        found = {}
        for id, instance in (await self._first_instances(descriptions)).items():
            try:
                shown = await self._reader.tags(instance, unlimited=tags)
            except OrthancError:
                continue  # damaged, or deleted at this moment
            names = map(tag_text, sorted(tags))
            found[id] = {name: shown[name]["Value"] for name in names if name in shown}
        return found

    async def _first_instances(self, descriptions: Sequence[Description]) -> dict[str, Facts]:
        found = {each.facts.id: each.facts for each in descriptions}
        while any(facts.level is not ResourceLevel.INSTANCE for facts in found.values()):
            children = {id: facts.children[0] for id, facts in found.items() if facts.children}
            described = await self._library.describe_all(list(children.values()))
            by_id = {each.facts.id: each.facts for each in described}
            found = {id: by_id[child] for id, child in children.items() if child in by_id}
        return found
