"""Whatever is asked of `/tools/find` and its like, the answer is a good one and comes soon."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.dicom import make_instance
from tests.support.server import Server, running_server

PLACES = ("find", "count-resources", "bulk-content", "lookup")
# What Orthanc answers with a status of 500: an unknown tag, a parent below the level.
KNOWN_500 = (27, 6)

TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["", "*", "?", "\\", "-", "P*", "*a*b*c*d*", "1-2", "[", "%_", "\0", "CT\\MR", "x" * 300]
    ),
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
TAGS = st.sampled_from(
    [
        "PatientID",
        "PatientName",
        "StudyDate",
        "StudyTime",
        "Modality",
        "ModalitiesInStudy",
        "Rows",
        "SOPInstanceUID",
        "InstanceNumber",
        "NumberOfStudyRelatedSeries",
        "RequestAttributesSequence",
        "PixelData",
        "0008,0020",
        "0009,0010",
        "00100010",
        "Nonsense",
        "TransferSyntaxUID",
        "0000,0000",
        "ffff,ffff",
    ]
)
METADATA = st.sampled_from(["LastUpdate", "1024", "Origin", "-1", "99999999", "Nonsense"])
ORDERS = st.fixed_dictionaries(
    {
        "Type": st.sampled_from(["DicomTag", "DicomTagAsInt", "Metadata", "MetadataAsFloat", "Tag"]),
        "Key": TAGS | METADATA,
        "Direction": st.sampled_from(["ASC", "desc", "up"]),
    }
)
MEMBERS: dict[str, st.SearchStrategy[Any]] = {
    "Level": st.sampled_from(["Patient", "study", "Series", "instances", "Images", "nothing"]),
    "Query": st.dictionaries(TAGS, TEXTS, max_size=4),
    "Expand": st.booleans(),
    "Full": st.booleans(),
    "Short": st.booleans(),
    "CaseSensitive": st.booleans(),
    "Limit": st.integers(-1, 3) | st.integers(),
    "Since": st.integers(-1, 3) | st.integers(),
    "RequestedTags": st.lists(TAGS, max_size=4),
    "Labels": st.lists(TEXTS, max_size=3),
    "LabelsConstraint": st.sampled_from(["All", "Any", "None", "Some"]),
    "ParentPatient": TEXTS,
    "ParentStudy": TEXTS,
    "ParentSeries": TEXTS,
    "MetadataQuery": st.dictionaries(METADATA, TEXTS, max_size=3),
    "OrderBy": st.lists(ORDERS, max_size=3),
    "ResponseContent": st.lists(
        st.sampled_from(["MainDicomTags", "Metadata", "Children", "Attachments", "Status", "Nonsense"]),
        max_size=3,
    ),
    "Resources": st.lists(TEXTS, max_size=3),
    "Metadata": st.booleans(),
}
OBJECTS = st.fixed_dictionaries(
    {"Level": MEMBERS["Level"], "Query": MEMBERS["Query"]},
    optional={name: values | ANYTHING for name, values in MEMBERS.items() if name not in ("Level", "Query")},
)
BODIES = st.one_of(OBJECTS, OBJECTS, OBJECTS, ANYTHING).map(json.dumps).map(str.encode) | st.binary(
    max_size=20
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("fuzz"), SyncStorageArea=False) as running:
        for study in (1, 2):
            running.post("/instances", make_instance(study=study, patient_name="Doe^J\u00e4ne"))
        yield running


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(place=st.sampled_from(PLACES), body=BODIES)
def test_every_question_has_a_good_answer(server: Server, place: str, body: bytes) -> None:
    reply = server.post(f"/tools/{place}", body)
    if reply.status == 500:
        assert reply.json()["OrthancStatus"] in KNOWN_500, reply.body
    else:
        assert reply.status in (200, 400, 404), reply.body
        assert reply.json() is not None


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    level=st.sampled_from(["patients", "studies", "series", "instances"]),
    tags=st.lists(TAGS, max_size=4),
    rest=st.sampled_from(["", "&full", "&short", "&since=0&limit=1", "&response-content=Labels;Metadata"]),
)
def test_every_url_has_a_good_answer(server: Server, level: str, tags: list[str], rest: str) -> None:
    reply = server.get(f"/{level}?expand&requested-tags={';'.join(tags)}{rest}")
    assert reply.status == (400 if "Nonsense" in tags else 200), reply.body
