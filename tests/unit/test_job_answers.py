"""The fields that all requests for jobs have in common."""

from typing import Any

import pytest

from orthanc_trio.model.errors import BadFileFormat, BadRequest, OrthancError, ParameterOutOfRange
from orthanc_trio.model.job import RetryPolicy, SubmitOptions
from orthanc_trio.rest import job_answers
from orthanc_trio.rest.bodies import JobBody, names
from orthanc_trio.rest.fields import Fields
from orthanc_trio.rest.job_answers import job_options


class FakeRequest:
    """A request as handlers get it, of which only method, path and headers count here."""

    client, user = "", ""

    def __init__(self, method: str = "POST", path: str = "/do", **headers: str) -> None:
        self.method = method
        self.path = path
        self.query: dict[str, str] = {}
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    async def body(self) -> bytes:
        raise AssertionError("the body was read before")

    def chunks(self) -> Any:
        raise AssertionError("the body was read before")

    async def wait_gone(self) -> None:
        raise AssertionError("nobody waits")


REQUEST = FakeRequest()


@pytest.mark.parametrize("body", [{}, [], ["id"], {"Resources": []}, "text"])
def test_a_request_written_for_orthanc_asks_for_nothing_else(body: Any) -> None:
    options = job_options(REQUEST, body)
    assert not options.is_asynchronous
    assert options.submit == SubmitOptions()


@pytest.mark.parametrize(
    ("body", "is_asynchronous"),
    [
        ({"Asynchronous": True}, True),
        ({"Synchronous": False}, True),
        ({"Synchronous": True, "Asynchronous": True}, False),
        ({"Synchronous": False, "Asynchronous": "never looked at"}, True),
    ],
)
def test_synchronous_wins(body: Any, is_asynchronous: bool) -> None:
    assert job_options(REQUEST, body).is_asynchronous is is_asynchronous


def test_all_options_are_read() -> None:
    body = {
        "Priority": 3,
        "UserData": {"a": [1]},
        "Timeout": 90,
        "Retry": {"MaxAttempts": 3, "Delay": 1.5},
        "AutoDelete": True,
    }
    submit = job_options(REQUEST, body).submit
    assert bytes(submit.user_data or b"") == b'{"a":[1]}'
    assert (submit.priority, submit.timeout_s, submit.auto_delete) == (3, 90.0, True)
    assert submit.retry == RetryPolicy(max_attempts=3, delay_s=1.5)
    assert (submit.unique_key, submit.request_digest) == (None, "")


def test_what_is_read_is_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    class AskedFields(Fields):
        asked: set[str] = set()  # noqa: RUF012  # of this test alone

        def __contains__(self, name: object) -> bool:
            self.asked.add(str(name))
            return super().__contains__(name)

        def get(self, name: str, default: Any = None) -> Any:
            self.asked.add(name)
            return super().get(name, default)

        def __getitem__(self, name: str) -> Any:
            self.asked.add(name)
            return super().__getitem__(name)

    monkeypatch.setattr(job_answers, "Fields", AskedFields)
    for body in ({"Synchronous": True}, {"Asynchronous": True}):
        job_options(REQUEST, body)
    assert AskedFields.asked == names(JobBody)


def test_user_data_of_null_are_none() -> None:
    assert job_options(REQUEST, {"UserData": None}).submit == SubmitOptions()


@pytest.mark.parametrize(
    ("body", "details"),
    [
        ({"Priority": 1.5}, "Integer value expected in field: Priority"),
        ({"Timeout": "1"}, "Number value expected in field: Timeout"),
        ({"Timeout": True}, "Number value expected in field: Timeout"),
        ({"Timeout": float("inf")}, "Number value expected in field: Timeout"),
        ({"AutoDelete": 1}, "Boolean value expected in field: AutoDelete"),
        ({"UniqueKey": 1}, "String value expected in field: UniqueKey"),
        ({"Retry": 5}, "Object value expected in field: Retry"),
        ({"Retry": None}, "Object value expected in field: Retry"),
        ({"Retry": {"MaxAttempts": "5"}}, "Integer value expected in field: Retry.MaxAttempts"),
        ({"Retry": {"Backoff": []}}, "Number value expected in field: Retry.Backoff"),
    ],
)
def test_a_wrong_type_is_named(body: Any, details: str) -> None:
    with pytest.raises(BadFileFormat) as refused:
        job_options(REQUEST, body)
    assert refused.value.details == details


@pytest.mark.parametrize(
    "body",
    [
        {"Timeout": 0},
        {"Timeout": -1},
        {"Retry": {"MaxAttempts": 0}},
        {"Retry": {"Delay": -1}},
        {"Retry": {"Backoff": 0.5}},
        {"UniqueKey": ""},
        {"UniqueKey": "x" * 256},
    ],
)
def test_a_value_beyond_its_limits_is_refused(body: Any) -> None:
    with pytest.raises(ParameterOutOfRange):
        job_options(REQUEST, body)


def test_a_key_comes_as_a_header_or_as_a_member() -> None:
    by_header = FakeRequest(idempotency_key="k")
    assert job_options(by_header, {}).submit.unique_key == "k"
    assert job_options(REQUEST, {"UniqueKey": "k"}).submit.unique_key == "k"
    assert job_options(by_header, {"UniqueKey": "k"}).submit.unique_key == "k"
    with pytest.raises(BadRequest):
        job_options(by_header, {"UniqueKey": "other"})


def test_the_digest_is_that_of_the_request_whatever_its_spelling() -> None:
    def digest(body: Any, method: str = "POST", path: str = "/do") -> str:
        request = FakeRequest(method, path, idempotency_key="k")
        return job_options(request, body).submit.request_digest

    whole = digest({"A": 1, "B": [1, 2]})
    assert digest({"B": [1, 2], "A": 1}) == whole
    others = [
        digest({"A": 1, "B": [2, 1]}),
        digest({"A": 1}),
        digest({"A": 1, "B": [1, 2]}, path="/other"),
        digest({"A": 1, "B": [1, 2]}, method="PUT"),
        digest(["A"]),
        digest(["B"]),
    ]
    assert len({whole, *others}) == 7


def test_a_job_within_a_request_leaves_no_key() -> None:
    options = job_options(FakeRequest(idempotency_key="k"), {"Priority": 2})
    assert options.within_request == SubmitOptions(priority=2, is_durable=False)


def test_errors_of_options_are_bad_requests() -> None:
    for error in (BadFileFormat(), BadRequest(), ParameterOutOfRange()):
        assert isinstance(error, OrthancError)
        assert error.http_status == 400
