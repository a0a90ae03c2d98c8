"""The JSON bodies of requests: which members there are, and of which types.

The OpenAPI document shows these Structs, and a handler sees of a body what its Struct declares (`declared`):
so what is read is documented. Those who read the values refuse wrong types with the errors of Orthanc
(`fields.py` and the readers of each body). Source: the Orthanc Book, "REST API".
"""

from functools import cache
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field
from msgspec.structs import fields

from ..index.query import LabelsConstraint
from ..model.job import RetryPolicy
from .resource_json import Content

LevelName = Literal["Patient", "Study", "Series", "Instance"]
Format = Annotated[bool, Meta(description="The format of tags; without any: names and plain values.")]


_RETRY = RetryPolicy()


class RetryBody(Struct, rename="pascal"):
    """How often, and after which time, a job is tried again."""

    max_attempts: int = _RETRY.max_attempts
    delay: Annotated[float, Meta(description="Seconds until the second attempt.")] = _RETRY.delay_s
    backoff: Annotated[float, Meta(description="The factor of each further delay.")] = _RETRY.backoff
    max_delay: Annotated[float, Meta(description="The longest delay, in seconds.")] = _RETRY.max_delay_s


class JobBody(Struct, rename="pascal", kw_only=True):
    """What may be said of any job."""

    synchronous: Annotated[bool, Meta(description="Wait for the end. Wins over Asynchronous.")] = True
    asynchronous: bool = False
    priority: int = 0
    user_data: Any = None
    retry: RetryBody | UnsetType = UNSET
    timeout: Annotated[float, Meta(description="The longest runtime, in seconds.", gt=0)] | UnsetType = UNSET
    auto_delete: Annotated[bool, Meta(description="Forget the job once it has succeeded.")] = False
    unique_key: Annotated[str, Meta(description="Requests with one key make one job.")] | UnsetType = UNSET


class TranscodingBody(JobBody, kw_only=True):
    """A job whose result may have another transfer syntax."""

    transcode: Annotated[str, Meta(description="UID of a transfer syntax.")] | UnsetType = UNSET
    lossy_quality: int = 90


class ArchiveBody(TranscodingBody, kw_only=True):
    """An archive or a medium of one resource."""

    extended: Annotated[bool, Meta(description="For media: more types of records.")] = False
    utf8: Annotated[bool, Meta(description="Names in UTF-8.")] = True
    filename: str = ""
    manifest: Annotated[bool, Meta(description="Add a list of the files and their sums.")] = False


class ManyArchiveBody(ArchiveBody, kw_only=True):
    """An archive or a medium of many resources."""

    resources: list[str]


class ChangeBody(TranscodingBody, kw_only=True):
    """What all changes of tags have in common."""

    remove: Annotated[list[str], Meta(description="Tags, or paths to tags.")] = []
    replace: Annotated[dict[str, Any], Meta(description="Values by tag, or by path.")] = {}
    keep: list[str] = []
    force: Annotated[bool, Meta(description="Allow to change identifiers.")] = False
    private_creator: str = ""
    keep_source: bool = True
    keep_labels: bool = False
    permissive: Annotated[bool, Meta(description="Go on after an instance that fails.")] = False
    atomic: Annotated[bool, Meta(description="All or nothing.")] = False
    remove_secondary_captures: bool = False
    dry_run: Annotated[bool, Meta(description="Answer what would become of it, and store nothing.")] = False


class ModifyBody(ChangeBody, kw_only=True):
    """A modification."""

    remove_private_tags: bool = False


class PseudonymBody(Struct, rename="pascal"):
    """From what pseudonyms are derived."""

    key: str


class AnonymizeBody(ChangeBody, kw_only=True):
    """An anonymisation."""

    dicom_version: Annotated[str, Meta(description="Of the profile, such as 2023b.")] = "2023b"
    keep_private_tags: bool = False
    shift_dates: Annotated[bool | int, Meta(description="Shift dates, by these days.")] = False
    pseudonym: PseudonymBody | None = None


class BulkModifyBody(ModifyBody, kw_only=True):
    """A modification of many resources."""

    resources: list[str]
    level: LevelName | UnsetType = UNSET


class BulkAnonymizeBody(AnonymizeBody, kw_only=True):
    """An anonymisation of many resources."""

    resources: list[str]


class SplitBody(JobBody, kw_only=True):
    """What is taken out of a study: at least one series or instance."""

    series: list[str] = []
    instances: list[str] = []
    remove: list[str] = []
    replace: dict[str, str] = {}
    keep_source: bool = False
    permissive: bool = False
    atomic: bool = False


class MergeBody(JobBody, kw_only=True):
    """What is put into a study."""

    resources: list[str]
    keep_source: bool = False
    permissive: bool = False
    atomic: bool = False


class ReconstructBody(Struct, rename="pascal"):
    """How much is read again."""

    reconstruct_files: bool = False
    limit_to_this_level_main_dicom_tags: bool = False


class NewContent(Struct, rename="pascal"):
    """One instance of a series."""

    content: Annotated[str, Meta(description="A data URI.")]
    tags: dict[str, Any] = {}


class CreateBody(Struct, rename="pascal"):
    """An instance, or a series of them. Without `Tags`, all members are tags."""

    tags: dict[str, Any]
    content: str | list[str | NewContent] = ""
    parent: str | UnsetType = UNSET
    force: bool = False
    interpret_binary_tags: bool = True
    private_creator: str = ""
    encapsulate: bool | None = False


class OrderBody(Struct, rename="pascal"):
    """One criterion of an order."""

    type: Literal[
        "DicomTag", "DicomTagAsInt", "DicomTagAsFloat", "Metadata", "MetadataAsInt", "MetadataAsFloat"
    ]
    key: str
    direction: Literal["ASC", "DESC"]


class CountBody(Struct, rename="pascal", kw_only=True):
    """A query."""

    level: LevelName
    query: Annotated[dict[str, str], Meta(description="What tags shall be; * and ? are wildcards.")]
    metadata_query: dict[str, str] = {}
    labels: list[str] = []
    labels_constraint: LabelsConstraint = LabelsConstraint.ALL
    parent_patient: str | UnsetType = UNSET
    parent_study: str | UnsetType = UNSET
    parent_series: str | UnsetType = UNSET
    case_sensitive: bool = False


class FindBody(CountBody, kw_only=True):
    """A query, and how its answer is."""

    simplify: Format = False
    short: Format = False
    full: Format = False
    expand: bool = False
    requested_tags: list[str] = []
    response_content: list[Content] = []
    order_by: list[OrderBody] = []
    since: int = 0
    limit: Annotated[int, Meta(description="The most that are answered, 0 for all.")] = 0


class BulkContentBody(Struct, rename="pascal", kw_only=True):
    """Resources that are shown, or those above or below them."""

    simplify: Format = False
    short: Format = False
    full: Format = False
    resources: list[str]
    level: LevelName | UnsetType = UNSET
    metadata: bool = True


class TargetBody(Struct, rename="pascal"):
    """A resource of a level."""

    level: LevelName
    id: str = field(name="ID")


class BulkDeleteBody(Struct, rename="pascal"):
    """Resources that are deleted."""

    resources: list[str | TargetBody]


class ManyJobsBody(Struct, rename="pascal"):
    """Which jobs are meant."""

    jobs: list[str] | UnsetType = UNSET
    state: str | list[str] | UnsetType = UNSET
    type: str | list[str] | UnsetType = UNSET
    destination: str | UnsetType = UNSET
    resource: str | UnsetType = UNSET
    since: Annotated[str, Meta(description="ISO 8601.")] | UnsetType = UNSET
    until: Annotated[str, Meta(description="ISO 8601.")] | UnsetType = UNSET


@cache
def names(shape: type[Struct]) -> frozenset[str]:
    """Return the names of the members that a Struct declares."""
    return frozenset(field.encode_name for field in fields(shape))


def declared(members: dict[str, Any], shape: type[Struct]) -> dict[str, Any]:
    """Return those members of a body that a Struct declares; the same object, if these are all."""
    known = names(shape)
    if members.keys() <= known:
        return members
    return {name: value for name, value in members.items() if name in known}
