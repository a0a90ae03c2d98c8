import json
import logging
from typing import Any

import pytest

from orthanc_trio.model.error_code import ErrorCode
from orthanc_trio.model.errors import (
    BadRange,
    FullStorage,
    InexistentItem,
    InternalError,
    OrthancError,
    PayloadTooLarge,
    UnknownResource,
)
from orthanc_trio.rest.errors import exception_answer
from orthanc_trio.rest.requests import AsgiRequest, BodyLimits
from orthanc_trio.rest.wire import Answer

EXAMPLE = """{
	"HttpError" : "Not Found",
	"HttpStatus" : 404,
	"Message" : "Unknown resource",
	"Method" : "GET",
	"OrthancError" : "Unknown resource",
	"OrthancStatus" : 17,
	"Uri" : "/nope"
}
"""


async def never() -> Any:
    raise AssertionError


def answer_to(error: Exception, *, path: str = "/nope", describe: bool = True) -> Answer:
    scope: dict[str, Any] = {"method": "GET", "path": path, "query_string": b"patient=secret", "headers": []}
    return exception_answer(error, AsgiRequest(scope, never, BodyLimits()), describe=describe)


def test_the_text_is_that_of_the_wire_format() -> None:
    answer = answer_to(UnknownResource())
    assert (answer.status, answer.media_type) == (404, "text/plain")
    assert answer.body.decode() == EXAMPLE


def test_details_and_payload_are_there_if_the_error_has_them() -> None:
    answer = answer_to(InexistentItem("No modality: é", payload={"Type": "Dimse", "Content": {}}))
    content = json.loads(answer.body)
    assert content["Details"] == "No modality: é"
    assert content["ErrorPayload"] == {"Type": "Dimse", "Content": {}}
    assert answer.body.isascii()


@pytest.mark.parametrize(
    ("error", "status", "phrase"),
    [
        (BadRange(), 416, "Requested Range Not Satisfiable"),
        (FullStorage(), 507, "Insufficient Storage"),
        (InternalError(), 500, "Internal Server Error"),
    ],
)
def test_status_and_phrase_are_those_of_the_error(error: OrthancError, status: int, phrase: str) -> None:
    answer = answer_to(error)
    content = json.loads(answer.body)
    assert (answer.status, content["HttpStatus"], content["HttpError"]) == (status, status, phrase)


def test_without_description_only_the_status_is_told() -> None:
    answer = answer_to(UnknownResource("details"), describe=False)
    assert (answer.status, answer.body, answer.media_type) == (404, b"", None)


def test_an_unexpected_exception_is_logged_and_its_text_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    answer = answer_to(ValueError("name of a patient"))
    content = json.loads(answer.body)
    assert (answer.status, content["OrthancStatus"]) == (500, -1)
    assert b"patient" not in answer.body
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert "secret" not in record.getMessage()


def test_the_errors_of_nurseries_are_unpacked(caplog: pytest.LogCaptureFixture) -> None:
    nested = ExceptionGroup("outer", [ExceptionGroup("inner", [UnknownResource()])])
    assert answer_to(nested).status == 404
    assert caplog.records == []
    mixed = ExceptionGroup("outer", [UnknownResource(), KeyError("bug")])
    assert answer_to(mixed).status == 500


def test_a_body_beyond_the_limit_is_413_without_text() -> None:
    answer = answer_to(PayloadTooLarge())
    assert (answer.status, answer.body, answer.media_type) == (413, b"", None)


@pytest.mark.parametrize("code", [code for code in ErrorCode if code.http_status >= 400])
def test_every_code_makes_an_answer(code: ErrorCode) -> None:
    error = OrthancError()
    error.code = code  # type: ignore[misc]
    content = json.loads(answer_to(error, path="/ä/b").body)
    assert (content["OrthancStatus"], content["Message"]) == (code, code.description)
    assert content["Uri"] == "/ä/b"
