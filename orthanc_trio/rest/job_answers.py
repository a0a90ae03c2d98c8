"""What all routes that make jobs have in common: fields and answers. Source: the Orthanc Book, "Jobs"."""

import hashlib
from contextlib import ExitStack, closing
from typing import Any

import msgspec

from ..model.error_code import ErrorCode
from ..model.errors import BadParameterType, BadRequest, InexistentItem, OrthancError, ParameterOutOfRange
from ..model.event import Event, JobEvent
from ..model.job import JobFault, JobRecord, JobState, RetryPolicy, SubmitOptions
from ..services.context import ServerContext
from ..services.job_view import content_view
from .answers import Submitted
from .fields import Fields
from .wire import Answer, Request, json_answer

_KEY_HEADER = "idempotency-key"
_KEY_MEMBER = "UniqueKey"
_MAX_KEY_LENGTH = 255


class JobOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller may say of any job."""

    is_asynchronous: bool
    submit: SubmitOptions = SubmitOptions()

    @property
    def within_request(self) -> SubmitOptions:
        """The same for a job whose result streams to the caller: nothing outlives the request."""
        return msgspec.structs.replace(self.submit, is_durable=False, unique_key=None, request_digest="")


def job_options(request: Request, body: Any) -> JobOptions:
    """Read the fields that all requests for jobs have in common; `body` is the decoded one.

    `Synchronous` wins over `Asynchronous`, which is then not looked at. Raises BadFileFormat for a wrong
    type, ParameterOutOfRange for a value beyond its limits, BadRequest for two different keys.
    """
    fields = Fields(body if isinstance(body, dict) else ())
    if "Synchronous" in fields:
        is_asynchronous = not fields.boolean("Synchronous", True)
    else:
        is_asynchronous = fields.boolean("Asynchronous", False)
    # In this order: of several mistakes the first one is told.
    priority = _priority(fields) if "Priority" in fields else 0
    unique_key = _unique_key(request, fields)
    submit = SubmitOptions(
        priority=priority,
        user_data=fields.raw("UserData") if "UserData" in fields else None,
        retry=_retry(fields) if "Retry" in fields else None,
        timeout_s=_timeout_s(fields) if "Timeout" in fields else None,
        auto_delete="AutoDelete" in fields and fields.boolean("AutoDelete", False),
        unique_key=unique_key,
        request_digest="" if unique_key is None else request_digest(request, body),
    )
    return JobOptions(is_asynchronous=is_asynchronous, submit=submit)


def request_digest(request: Request, body: Any) -> str:
    """Return what tells requests apart that come with the same key: of method, path and canonical body.

    The key may come as a member or as a header, so it does not count.
    """
    if isinstance(body, dict):
        body = {name: value for name, value in body.items() if name != _KEY_MEMBER}
    canonical = msgspec.json.encode([request.method, request.path, body], order="sorted")
    return hashlib.sha256(canonical).hexdigest()


def _priority(fields: Fields) -> int:
    priority = fields.integer("Priority", 0)
    if not -(2**63) <= priority < 2**31:
        raise BadParameterType("Value too large to fit in an integer in field 'Priority'")
    return priority


def _timeout_s(fields: Fields) -> float:
    timeout_s = fields.number("Timeout", 0)
    if timeout_s <= 0:
        raise ParameterOutOfRange("Value out of range in field: Timeout")
    return timeout_s


def _retry(fields: Fields) -> RetryPolicy:
    given, default = fields.inner("Retry"), RetryPolicy()
    values = {
        "max_attempts": given.integer("MaxAttempts", default.max_attempts),
        "delay_s": given.number("Delay", default.delay_s),
        "backoff": given.number("Backoff", default.backoff),
        "max_delay_s": given.number("MaxDelay", default.max_delay_s),
    }
    try:
        return msgspec.convert(values, RetryPolicy)  # checks the limits
    except msgspec.ValidationError as error:
        raise ParameterOutOfRange("Value out of range in field: Retry") from error


def _unique_key(request: Request, fields: Fields) -> str | None:
    given = {
        request.headers.get(_KEY_HEADER),
        fields.text(_KEY_MEMBER, "") if _KEY_MEMBER in fields else None,
    }
    keys = given - {None}
    if len(keys) > 1:
        raise BadRequest("The header Idempotency-Key and the field UniqueKey are different")
    key = keys.pop() if keys else None
    if key is not None and not 0 < len(key) <= _MAX_KEY_LENGTH:
        raise ParameterOutOfRange(f"A key must have 1 to {_MAX_KEY_LENGTH} characters")
    return key


def submission_answer(record: JobRecord) -> Answer:
    """Answer where a submitted job can be watched."""
    return json_answer(Submitted(record.id, f"/jobs/{record.id}"))


async def run_and_answer(
    context: ServerContext, kind: str, args: msgspec.Struct, options: JobOptions
) -> Answer:
    """Submit a job and answer where it can be watched, or its content once it has succeeded."""
    record = await context.jobs.submit(kind, args, options.submit)
    if options.is_asynchronous:
        return submission_answer(record)
    with closing(JobEnd(context, record.id)) as end:
        record = await end.wait()
    check_succeeded(record, history_size=context.settings.jobs_history_size)
    return json_answer(content_view(record))


class JobFailed(OrthancError):
    """A job for which a caller waited did not succeed: the error of the job becomes that of the request."""

    def __init__(self, fault: JobFault) -> None:
        super().__init__(fault.details, payload=fault.payload)
        self.code = fault.code  # type: ignore[misc]  # of this failure, not of the class


def check_succeeded(record: JobRecord, *, history_size: int) -> None:
    """Raise the error of a job that ended without success.

    Also raises InexistentItem if no job is kept, since Orthanc then cannot tell how it ended.
    """
    if history_size == 0:
        raise InexistentItem(
            'Cannot retrieve the status of the job, make sure that "JobsHistorySize" is not 0'
        )
    if record.state is not JobState.SUCCESS:
        raise JobFailed(record.fault or JobFault(code=ErrorCode.INTERNAL_ERROR))


class JobEnd:
    """Hears how a job ends, also one that the history keeps no longer when somebody asks.

    To be made as soon as the job is submitted, before anything is awaited; to be closed.
    """

    def __init__(self, context: ServerContext, job_id: str) -> None:
        self._jobs = context.jobs
        self._id = job_id
        self._heard: JobRecord | None = None
        self._stack = ExitStack()
        self._stack.enter_context(context.bus.subscribed(self._hear))

    def close(self) -> None:
        """Hear nothing more. Safe to repeat."""
        self._stack.close()

    async def wait(self) -> JobRecord:
        """Return the job as it ended. Raises DatabaseUnavailable if the server stops first."""
        try:
            return await self._jobs.wait(self._id)
        except InexistentItem:
            if self._heard is None:
                raise
            return self._heard

    def _hear(self, event: Event) -> None:
        if isinstance(event, JobEvent) and event.record.id == self._id and event.record.state.is_completed:
            self._heard = event.record
