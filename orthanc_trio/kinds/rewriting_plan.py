"""Which instances a job makes others of: resources -> instances, series by series.

Functions of a read transaction: they run on a thread of the index.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ..dicom.dictionary import tag_text
from ..dicom.modification import IDENTIFIERS, Modification
from ..index.transaction import ReadTransaction
from ..model.errors import UnknownResource
from ..model.resource import ResourceLevel
from ..services.registration import ResourceIds

_TAGS_AT_ONCE: Final = 512


class SeriesSources(Struct, frozen=True, array_like=True):
    """Instances of one series, by the Orthanc identifiers."""

    patient: str
    study: str
    series: str
    instances: tuple[str, ...]


class RewritingPlan(Struct, frozen=True):
    """The sources in their order."""

    series: tuple[SeriesSources, ...]
    left_out: tuple[str, ...] = ()
    """Instances of the resources of which no other is made."""
    replaced: tuple[tuple[ResourceLevel, str], ...] = ()
    """UIDs of sources, by level, for which the request gives others: references have to follow."""

    @property
    def total(self) -> int:
        """The number of sources."""
        return sum(len(series.instances) for series in self.series)

    def page(self, start: int, count: int) -> list[ResourceIds]:
        """Return up to `count` sources from a position on."""
        page: list[ResourceIds] = []
        for series in self.series:
            if start < len(series.instances):
                page += [
                    ResourceIds(series.patient, series.study, series.series, id)
                    for id in series.instances[start : start + count - len(page)]
                ]
                if len(page) == count:
                    break
            start = max(0, start - len(series.instances))
        return page

    def samples(self, count: int) -> list[ResourceIds]:
        """Return up to `count` sources that tell most: the first of each series, then the others."""
        firsts = [
            ResourceIds(one.patient, one.study, one.series, one.instances[0]) for one in self.series[:count]
        ]
        chosen = {ids.instance for ids in firsts}
        others = (ids for ids in self.page(0, 2 * count) if ids.instance not in chosen)
        return (firsts + list(others))[:count]


class RewritingCursor(Struct, frozen=True, omit_defaults=True):
    """How far a job is: sources that were handled, and then deleted."""

    next: int = 0
    failed: int = 0
    deleted: int = 0
    bytes: int = 0
    """Of the sources that were handled with success."""


def plan_rewriting(tx: ReadTransaction, resources: Iterable[str]) -> RewritingPlan:
    """List the instances at or below `resources`, each once. Raises UnknownResource."""
    found: dict[tuple[str, str, str], set[str]] = {}
    for id in resources:
        row = tx.find(id)
        if row is None:
            raise UnknownResource
        is_instance = row.level is ResourceLevel.INSTANCE
        for path in tx.series_paths(id):
            instances = (id,) if is_instance else tx.descendants(path[2], ResourceLevel.INSTANCE)
            found.setdefault(path, set()).update(instances)
    return RewritingPlan(
        tuple(SeriesSources(*path, tuple(sorted(instances))) for path, instances in sorted(found.items()))
    )


def replaced_uids(
    tx: ReadTransaction, plan: RewritingPlan, modification: Modification
) -> tuple[tuple[ResourceLevel, str], ...]:
    """Return the UIDs of the sources of a plan, and of their ancestors, for which the user gives others."""
    found: set[tuple[ResourceLevel, str]] = set()
    for tag, level in IDENTIFIERS.items():
        if level is ResourceLevel.PATIENT or level not in modification.chosen_identifiers:
            continue
        ids = sorted({ids.of(level) for ids in plan.page(0, plan.total)})
        for start in range(0, len(ids), _TAGS_AT_ONCE):
            for tags_of_one in tx.tags_of(ids[start : start + _TAGS_AT_ONCE]).values():
                found.add((level, tags_of_one.own.get(tag_text(tag), "")))
    return tuple(sorted(found))


def without(plan: RewritingPlan, left_out: Sequence[str]) -> RewritingPlan:
    """Return a plan that leaves instances out."""
    gone = set(left_out)
    kept = [
        SeriesSources(
            series.patient,
            series.study,
            series.series,
            tuple(id for id in series.instances if id not in gone),
        )
        for series in plan.series
    ]
    return replace(
        plan, series=tuple(series for series in kept if series.instances), left_out=tuple(left_out)
    )
