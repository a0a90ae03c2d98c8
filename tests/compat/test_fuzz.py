"""Nonsense over HTTP, on a real server: no failure, no hang, and memory stays within a bound.

The OpenAPI document says what there is to ask for, so new routes are asked as well. A server error is a
failure unless Orthanc answers the same to a request that it understands.

The same few requests each time; `FUZZ_EXAMPLES=200 pytest tests/compat/test_fuzz.py` makes as many new ones
for each operation.
"""

import gzip
import http.client
import io
import json
import os
import random
import struct
import time
import zipfile
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.dicom import make_instance
from tests.support.server import Reply, Server, running_server

schemathesis: Any = pytest.importorskip("schemathesis")

NOT_ASKED = {"/events", "/tools/reset", "/tools/shutdown"}
EXPECTED_CODES = {2, 6, 27, 2040}
"""Not implemented, bad sequence of calls, unknown DICOM tag, slices that cannot be ordered."""
SLOWEST_S = 20.0
MEMORY_BOUND_MIB = 640
"""Of a server that has been asked all of this: what it needs at rest is about 100."""
FUZZ = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "3")),
    deadline=None,
    database=None,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
LEVELS = ("patients", "studies", "series", "instances")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("fuzz")
    with running_server(folder, SyncStorageArea=False, KeepAliveTimeout=60) as server:
        for instance in (1, 2):
            server.post("/instances", make_instance(instance=instance))
        yield server


def check(reply: Reply, asked: object) -> None:
    if reply.status >= 500 and reply.status != 507:
        assert reply.json()["OrthancStatus"] in EXPECTED_CODES, (asked, reply)


def peak_mib(server: Server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


class Asker:
    """Asks on one connection; each answer must come in time."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection = server.connect(SLOWEST_S)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        try:
            reply = self._server.request(method, path, body, headers, connection=self._connection)
        except (OSError, http.client.HTTPException) as error:
            # A medium that cannot have a directory, for want of a SOP class, is broken off, as Orthanc does.
            if "media" not in path:
                raise AssertionError(f"no answer to {method} {path} {body!r:.500} {headers}") from error
            self.close()
            self._connection = self._server.connect(SLOWEST_S)
            return Reply(200, {}, b"")
        check(reply, (method, path, body, headers))
        return reply

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def asker(server: Server) -> Iterator[Asker]:
    asker = Asker(server)
    yield asker
    asker.close()
    assert server.process.poll() is None
    assert peak_mib(server) < MEMORY_BOUND_MIB


def ask_often(server: Server, operation: Any, known: list[str]) -> None:
    """Have schemathesis make requests for one operation, half of them for a resource that exists."""

    @FUZZ
    @given(operation.as_strategy(), st.booleans())
    def ask(case: Any, is_known: bool) -> None:
        if known and is_known and case.method != "DELETE":
            case.path_parameters["id"] = known[0]
        # See `Asker.ask` for media.
        with suppress(requests.ConnectionError) if "media" in operation.path else nullcontext():
            answer = case.call(base_url=f"http://127.0.0.1:{server.port}", timeout=SLOWEST_S)
            check(Reply(answer.status_code, answer.headers, answer.content), case)

    ask()


def test_what_schemathesis_makes_of_the_document(server: Server, asker: Asker) -> None:
    document = json.loads(server.get("/openapi.json").body)
    ids = {level: server.get(f"/{level}").json() for level in LEVELS}
    for operation in (found.ok() for found in schemathesis.openapi.from_dict(document).get_all_operations()):
        if operation.path not in NOT_ASKED:
            ask_often(server, operation, ids.get(operation.path.split("/")[1], []))


# Requests of our own: nearly right ones ------------------------------------------------------------------

MEMBERS = """
    Asynchronous CaseSensitive Content DicomVersion Direction Encapsulate Expand Extended Filename Force Full
    ID Keep KeepLabels KeepSource Key Labels LabelsConstraint Level Limit LossyQuality Metadata MetadataQuery
    OrderBy Parent ParentSeries Permissive Priority Query Remove Replace RequestedTags Resources
    ResponseContent Retry Short Since Synchronous Tags Timeout Transcode Type UniqueKey UserData Utf8
"""
ARGUMENTS = """
    expand filename full ignore-length last level limit lossy-quality numeric requested-tags resources
    response-content short simplify since state to transcode type wait whole _method
"""
TEXTS = [
    *("Patient", "Study", "Series", "Instance", "PatientID", "0010,0010", "0010-0010", "*", "", "a b", "?"),
    *("\0", "\ud800", "é", "20200101-", "1.2.840.10008.1.2.4.70", "None", "NaN", "-1", "9" * 40, "x" * 3000),
    *("data:image/png;base64,iVBORw0KGgo=", "data:x", "../../etc/passwd", "%", "[", "\\", "7fe0,0010", "UN"),
    "0008,1140[*].0008,1150",
]
NUMBERS = [0, 1, -1, 100, 2**31, 2**63, -(2**63), 2**64, 10**30, 0.5, 1e300]
BROKEN = [
    *(b"", b"[", b"{", b"[" * 100_000, b'{"a":' * 50_000, b'"\xff"', b"nul", b"1e999", b"-", b"[1,]"),
    *(b"//x\n{}", b"\xef\xbb\xbf{}", b"{}{}", b"1" * 5000, b'{"Limit":' + b"9" * 400 + b"}"),
    b'{"Resources":' + b"[" * 2000 + b"]" * 2000 + b"}",
]
HEADERS = {
    "If-Match": ('"0-x"', "*", '"9-"'),
    "If-None-Match": ('"0-x"', "*"),
    "Range": ("bytes=0-", "bytes=-1", "bytes=5-3", "x"),
    "Accept": ("application/xml", "a/b", ""),
    "Accept-Encoding": ("gzip", "deflate;q=0"),
    "Content-Type": ("multipart/form-data; boundary=x", "multipart/form-data"),
    "Content-Encoding": ("gzip",),
    "X-HTTP-Method-Override": ("PUT", "x"),
}


class Nonsense:
    """Makes requests that are nearly right; the same for the same seed."""

    def __init__(self, seed: int, ids: dict[str, list[str]]) -> None:
        self._random = random.Random(seed)
        self._ids = ids
        self._all_ids = [id for known in ids.values() for id in known]

    def path(self, pattern: str) -> str:
        parts = pattern.strip("/").split("/")
        path = "/" + "/".join(self._part(part, parts[0]) for part in parts)
        if self._random.random() < 0.5:
            return path
        return path + "?" + "&".join(self._argument() for _ in range(self._random.randrange(1, 4)))

    def _part(self, part: str, collection: str) -> str:
        if not part.startswith("{"):
            return part
        if part == "{id}" and self._random.random() < 0.8:
            return self._random.choice(self._ids.get(collection, self._all_ids))
        known = ["0010-0010", "7fe0-0010/0", "dicom", "1024", "LastUpdate", "9" * 10, "-1", "%00", "..", "."]
        chosen = self._random.choice([*known, *TEXTS])
        return quote(chosen.encode("utf-8", "surrogatepass"), safe="/")

    def _argument(self) -> str:
        name, value = self._random.choice(ARGUMENTS.split()), self._random.choice([None, *TEXTS])
        return name if value is None else f"{name}={quote(value.encode('utf-8', 'surrogatepass'))}"

    def body(self) -> bytes:
        if self._random.random() < 0.15:
            return self._random.choice(BROKEN)
        members = {self._random.choice(MEMBERS.split()): self._value(2) for _ in range(4)}
        likely = {
            "Resources": [self._random.choice(self._all_ids)],
            "Level": self._random.choice(["Patient", "Study", "Series", "Instance"]),
            "Query": {self._random.choice(["PatientID", "StudyDate", "Rows"]): self._random.choice(TEXTS)},
        }
        members |= {name: value for name, value in likely.items() if self._random.random() < 0.7}
        return json.dumps(members).encode()

    def _value(self, depth: int) -> Any:
        chosen = self._random.randrange(8 if depth else 5)
        if chosen < 5:
            plain: list[Any] = [TEXTS, NUMBERS, [True, False, None], self._all_ids, [[], {}]]
            return self._random.choice(plain[chosen])
        if chosen == 5:
            return [self._value(depth - 1) for _ in range(self._random.randrange(4))]
        names = [*MEMBERS.split(), *TEXTS]
        return {self._random.choice(names): self._value(depth - 1) for _ in range(self._random.randrange(4))}

    def headers(self) -> dict[str, str]:
        name = self._random.choice(list(HEADERS))
        return {name: self._random.choice(HEADERS[name])} if self._random.random() < 0.3 else {}

    def choose(self, operations: list[tuple[str, str]]) -> tuple[str, str]:
        return self._random.choice(operations)


@pytest.mark.parametrize("seed", range(3))
def test_requests_that_are_nearly_right(server: Server, asker: Asker, seed: int) -> None:
    paths = json.loads(server.get("/openapi.json").body)["paths"]
    nonsense = Nonsense(seed, {level: server.get(f"/{level}").json() for level in LEVELS})
    operations = [
        (method.upper(), path)
        for path, operations in paths.items()
        for method in operations
        # What empties the server would leave nothing to ask for.
        if path not in NOT_ASKED and method != "delete" and not path.endswith("delete")
    ]
    for _ in range(800):
        method, pattern = nonsense.choose(operations)
        body = nonsense.body() if method in ("POST", "PUT") else None
        asker.ask(method, nonsense.path(pattern), body, nonsense.headers())


# Small requests that could become large ------------------------------------------------------------------

HUGE_JSON = {
    "lists": b"[" + b"[]," * 5_000_000 + b"[]]",
    "objects": b'{"Resources":[' + b"{}," * 3_000_000 + b"{}]}",
    "texts": b'{"Resources":[' + b'"a",' * 5_000_000 + b'"b"]}',
    "comment": b"//x\n[" + b"[]," * 2_000_000 + b"[]]",
    "long": b'{"Resources":["' + b"a" * 20_000_000 + b'"]}',
}


@pytest.mark.parametrize("body", HUGE_JSON.values(), ids=HUGE_JSON.keys())
@pytest.mark.parametrize("path", ["/tools/find", "/tools/create-archive", "/tools/bulk-content"])
def test_json_that_would_fill_the_memory_is_refused_at_once(asker: Asker, path: str, body: bytes) -> None:
    began = time.monotonic()
    assert 400 <= asker.ask("POST", path, body).status < 500
    assert time.monotonic() - began < SLOWEST_S


def element(vr: bytes, value: bytes, size: int | None = None) -> bytes:
    """A private element with a long length."""
    length = len(value) if size is None else size
    return struct.pack("<HH", 0x0099, 0x1000) + vr + b"\0\0" + struct.pack("<I", length) + value


UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END = b"\xfe\xff\0\xe0\xff\xff\xff\xff", b"\xfe\xff\x0d\xe0\0\0\0\0"
SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
DEPTHS = {"shallow": 20, "deep": 50_000}
BEGIN, END = element(b"SQ", b"", UNDEFINED) + ITEM, ITEM_END + SEQUENCE_END
TAILS = {
    **{f"{name} and closed": BEGIN * depth + END * depth for name, depth in DEPTHS.items()},
    **{f"{name} and open": BEGIN * depth for name, depth in DEPTHS.items()},
    "deep and unknown": (element(b"UN", b"", UNDEFINED) + ITEM) * 50_000,
    "absurd length": element(b"OB", b"abc", 0xFFFFFFF0),
    "absurd length of a text": element(b"UT", b"abc", 0x7FFFFFFF),
    "absurd VR": element(b"\0\xff", b"abc"),
    "sequence with an absurd length": element(b"SQ", ITEM, 0xFFFFFFF0),
    "many items": element(b"SQ", b"\xfe\xff\0\xe0\0\0\0\0" * 10_000 + SEQUENCE_END, UNDEFINED),
    "many texts": element(b"UC", b"\\" * 1_000_000),
    "nothing but delimiters": (ITEM_END + SEQUENCE_END) * 10_000,
    "broken escapes": element(b"UT", b"\x1b$" * 100_000),
}


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS.keys())
@pytest.mark.parametrize("charset", [b"ISO_IR 192", b"\\ISO 2022 ", b"NONSENSE  "])
def test_absurd_datasets_are_refused_or_shown(asker: Asker, tail: bytes, charset: bytes) -> None:
    file = make_instance(rows=0, SpecificCharacterSet="ISO_IR 192").replace(b"ISO_IR 192", charset)
    reply = asker.ask("POST", "/instances", file + tail)
    assert reply.status in (200, 400)
    if reply.status == 200:
        id = reply.json()["ID"]
        for part in ("tags", "simplified-tags?whole", "content", "content/0099-1000/0", "module", "file"):
            assert asker.ask("GET", f"/instances/{id}/{part}").status in (200, 400, 404)
        asker.ask("DELETE", f"/instances/{id}")


def bomb(kind: str) -> tuple[bytes, dict[str, str]]:
    """A small body that unpacks to 100 MiB, or to very many members."""
    if kind == "gzip":
        return gzip.compress(bytes(100 << 20), 1), {"Content-Encoding": "gzip"}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        sizes = [100 << 20] if kind == "zip" else [1] * 5000
        for number, size in enumerate(sizes):
            archive.writestr(str(number), bytes(size))
    return file.getvalue(), {}


@pytest.mark.parametrize("kind", ["gzip", "zip", "members"])
def test_what_unpacks_to_much_more_takes_no_memory(asker: Asker, kind: str) -> None:
    body, headers = bomb(kind)
    assert asker.ask("POST", "/instances", body, headers).status in (200, 400)


@pytest.mark.parametrize("seed", range(40))
def test_damaged_archives_are_refused_or_stored(asker: Asker, seed: int) -> None:
    noise = random.Random(seed)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", noise.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for number in range(3):
            archive.writestr(f"{number}.dcm", make_instance(study=5, instance=number + 1, rows=0))
    data = bytearray(file.getvalue())
    for _ in range(noise.choice([1, 3, 20])):
        data[noise.randrange(4, len(data))] = noise.randrange(256)
    if noise.random() < 0.3:
        del data[noise.randrange(4, len(data)) :]
    assert asker.ask("POST", "/instances", bytes(data)).status in (200, 400)
