"""What all routes that make jobs have in common: fields and answers. Source: the Orthanc Book, "Jobs"."""

import msgspec

from ..model.error_code import ErrorCode
from ..model.errors import InexistentItem, OrthancError
from ..model.job import JobFault, JobRecord, JobState
from .fields import Fields
from .wire import Answer, json_answer


class JobOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller may say of any job."""

    is_asynchronous: bool
    priority: int
    user_data: msgspec.Raw | None


def job_options(fields: Fields) -> JobOptions:
    """Read the common fields; `Synchronous` wins over `Asynchronous`, which is then not looked at."""
    if "Synchronous" in fields:
        is_asynchronous = not fields.boolean("Synchronous", True)
    else:
        is_asynchronous = fields.boolean("Asynchronous", False)
    return JobOptions(
        is_asynchronous=is_asynchronous,
        priority=fields.integer("Priority", 0),
        user_data=fields.raw("UserData"),
    )


def submission_answer(record: JobRecord) -> Answer:
    """Answer where a submitted job can be watched."""
    return json_answer({"ID": record.id, "Path": f"/jobs/{record.id}"})


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
