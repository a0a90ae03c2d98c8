"""The small tools, on a real server. Expected values are those of Orthanc 1.13.0."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from orthanc_trio.config.encoding import Encoding
from tests.support.dicom import make_instance
from tests.support.server import Reply, Server, running_server

JPEG = [f"1.2.840.10008.1.2.4.{process}" for process in range(50, 60)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("tools"), SyncStorageArea=False) as server:
        yield server


def put(server: Server, path: str, body: bytes | str) -> Reply:
    return server.request("PUT", path, body)


def text(server: Server, path: str) -> str:
    reply = server.get(path)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/plain")
    return reply.body.decode()


def assert_done(reply: Reply) -> None:
    assert (reply.status, reply.headers["Content-Type"], reply.body) == (200, "text/plain", b"")


def assert_refused(reply: Reply, status: int, code: int, details: str | None = None) -> None:
    assert (reply.status, reply.json()["OrthancStatus"]) == (status, code)
    assert reply.json().get("Details") == details


def test_the_list_of_tools_has_every_tool(server: Server) -> None:
    tools = server.get("/tools").json()
    assert tools == sorted(set(tools))
    assert {"now", "metrics-prometheus", "log-level-sqlite", "create-archive", "labels"} <= set(tools)


def test_the_clocks(server: Server) -> None:
    for path in ("/tools/now", "/tools/now-local"):
        assert re.fullmatch(r"\d{8}T\d{6}", text(server, path))
    shown = datetime.strptime(text(server, "/tools/now"), "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - shown).total_seconds()) < 5


@pytest.mark.parametrize(("level", "number"), [("study", 2), ("series", 3), ("instance", 4)])
def test_identifiers_are_new_and_short_enough(server: Server, level: str, number: int) -> None:
    first, second = (text(server, f"/tools/generate-uid?level={level}") for _ in range(2))
    assert first != second
    assert re.fullmatch(rf"1\.2\.276\.0\.7230010\.3\.1\.{number}\.[1-9]\d*", first)
    assert len(first) <= 64


def test_the_identifier_of_a_patient_is_a_uuid(server: Server) -> None:
    assert re.fullmatch(r"[0-9a-f-]{36}", text(server, "/tools/generate-uid?level=patient"))


@pytest.mark.parametrize("query", ["", "?level=Study", "?level="])
def test_there_is_no_identifier_for_another_level(server: Server, query: str) -> None:
    reply = server.get(f"/tools/generate-uid{query}")
    assert (reply.status, reply.body) == (404, b"")


def test_the_default_encoding_is_in_force_at_once(server: Server) -> None:
    data = make_instance(PatientName="Ж".encode("cp1251"), SpecificCharacterSet=None)
    id = server.post("/instances", data).json()["ID"]
    shown = {}
    for name in ("windows1251", "Latin1"):
        reply = put(server, "/tools/default-encoding", name)
        assert reply.body.decode() == Encoding(name)
        assert text(server, "/tools/default-encoding") == Encoding(name)
        shown[name] = server.get(f"/instances/{id}/simplified-tags").json()["PatientName"]
    assert shown == {"windows1251": "Ж", "Latin1": "Æ"}


@pytest.mark.parametrize("name", ["Foo", " Latin1", "", b"\xff"])
def test_an_unknown_encoding_is_refused(server: Server, name: bytes | str) -> None:
    assert_refused(put(server, "/tools/default-encoding", name), 400, 3)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('["1.2.840.10008.1.2.4.5?", "1.2.840.10008.1.2"]', ["1.2.840.10008.1.2", *JPEG]),
        ('"1.2.840.10008.1.2"', ["1.2.840.10008.1.2"]),
        ("1.2.840.10008.1.2.1", ["1.2.840.10008.1.2.1"]),
        ("1.2.840.10008.1.2.4.5?", JPEG),
        ("[]", []),
        ("", []),
        ("nope", []),
        ("[0-9]*", None),
    ],
)
def test_patterns_choose_the_accepted_transfer_syntaxes(
    server: Server, body: str, expected: list[str] | None
) -> None:
    path = "/tools/accepted-transfer-syntaxes"
    reply = put(server, path, body)
    if expected is None:
        assert reply.json() == []
    else:
        assert reply.json() == server.get(path).json() == expected
    assert len(put(server, path, "*").json()) == 48


@pytest.mark.parametrize("body", ['{"a": 1}', "[1]", "1", "null"])
def test_json_of_another_kind_is_no_pattern(server: Server, body: str) -> None:
    assert_refused(put(server, "/tools/accepted-transfer-syntaxes", body), 400, 15)


def test_the_accepted_sop_classes(server: Server) -> None:
    classes = server.get("/tools/accepted-sop-classes").json()
    assert len(classes) == 202
    assert classes == sorted(classes)


@pytest.mark.parametrize("path", ["/tools/unknown-sop-class-accepted", "/tools/metrics"])
def test_a_switch_is_set_and_reset(server: Server, path: str) -> None:
    before = text(server, path)
    for body, shown in ((" 1 ", "1"), ("false", "0"), ("true", "1"), ("0", "0")):
        assert_done(put(server, path, body))
        assert text(server, path) == shown
    for body in ("TRUE", "2", "", "on"):
        assert_refused(put(server, path, body), 400, 15, "Boolean value expected")
    put(server, path, before)


def test_the_levels_of_the_log(server: Server) -> None:
    assert_done(put(server, "/tools/log-level", "verbose"))
    assert text(server, "/tools/log-level-http") == "verbose"
    assert_done(put(server, "/tools/log-level-http", "trace"))
    assert text(server, "/tools/log-level") == "trace"
    assert text(server, "/tools/log-level-lua") == "verbose"
    assert_done(put(server, "/tools/log-level", "default"))
    assert text(server, "/tools/log-level-http") == "default"
    details = 'Verbosity can be "default", "verbose" or "trace": Verbose'
    assert_refused(put(server, "/tools/log-level", "Verbose"), 400, 3, details)
    assert_refused(server.get("/tools/log-level-foo"), 404, 17)


def test_lua_is_refused(server: Server) -> None:
    reply = server.post("/tools/execute-script", "print(1)")
    assert (reply.status, reply.body) == (403, b"")
    assert server.get("/tools/execute-script").headers["Allow"] == "POST"


def test_the_conformance_statement_lists_what_is_accepted(server: Server) -> None:
    statement = text(server, "/tools/dicom-conformance")
    for line in (r"CT Image Storage +\| 1\.2\.840\.10008\.5\.1\.4\.1\.1\.2\n", r"RLE Lossless +\| "):
        assert re.search(line, statement)


def test_plugins_are_a_script_and_nothing_else(server: Server) -> None:
    assert server.get("/plugins").json() == ["explorer.js"]
    reply = server.get("/plugins/explorer.js")
    assert reply.headers["Content-Type"] == "application/javascript"
    assert reply.body.startswith(b"// Extensions to Orthanc Explorer by the registered plugins")
    assert (server.get("/plugins/x").status, server.get("/plugins/x").body) == (404, b"")
