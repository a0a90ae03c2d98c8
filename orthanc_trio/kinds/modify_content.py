"""What a job `ResourceModification` shows of itself: its `Content`. Source: the Orthanc Book, "Jobs"."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..model.resource import ResourceLevel
from ..services.registration import ResourceIds
from .modify_args import ModifyArgs, ModifyCursor, Named


def first_content(args: ModifyArgs, levels: Mapping[str, ResourceLevel], total: int) -> dict[str, Any]:
    """Return what is known before the job begins; `levels` are those of its resources."""
    named = [{"ID": id, "Type": level.type_name} for id, level in levels.items()]
    content: dict[str, Any] = {
        "Description": "REST API",
        "FailedInstancesCount": 0,
        "InstancesCount": total,
        "IsAnonymization": args.modification.is_anonymization,
        # Of several resources these are the results, which are known at the end.
        "Resources": [] if args.level is None else named,
    }
    if levels:
        content["ParentResources"] = sorted(levels)
    if args.transcoding is not None:
        content["Transcode"] = args.transcoding.syntax
    return content


def left_out_content(left_out: Sequence[str]) -> dict[str, Any]:
    """Return what tells of secondary captures that were left out."""
    return _named("RemovedSecondaryCaptures", Named().plus(list(left_out)))


def progress_of(args: ModifyArgs, total: int, cursor: ModifyCursor) -> dict[str, Any]:
    """Return what is known at a boundary of a job with so many sources."""
    content: dict[str, Any] = {"FailedInstancesCount": cursor.failed, "InstancesCount": total}
    if args.level is not None and cursor.result is not None:
        id = cursor.result.of(args.level)
        content |= {
            "ID": id,
            "Path": f"/{args.level.collection}/{id}",
            "PatientID": cursor.result.patient,
            "Type": args.level.type_name,
        }
    content |= _named("BurnedInAnnotations", cursor.burned_in)
    return content | _named("NotTranscoded", cursor.not_transcoded)


def results_content(results: Iterable[ResourceIds]) -> dict[str, Any]:
    """Return all results of a job on several resources: instances first, each level by identifier."""
    results = list(results)
    return {
        "Resources": [
            {"ID": id, "Path": f"/{level.collection}/{id}", "Type": level.type_name}
            for level in reversed(ResourceLevel)
            for id in sorted({ids.of(level) for ids in results})
        ]
    }


def _named(key: str, named: Named) -> dict[str, Any]:
    return {key: named.first, f"{key}Count": named.count} if named.count else {}
