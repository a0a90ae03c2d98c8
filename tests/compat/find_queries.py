"""Requests that search, over the files that come with pydicom. Each is (method, path, body)."""

from typing import Any

LEVELS = ("Patient", "Study", "Series", "Instance")
EVERYTHING = (
    "PatientName;PatientSex;PatientComments;StudyDate;StudyDescription;ModalitiesInStudy;SOPClassesInStudy;"
    "NumberOfStudyRelatedSeries;NumberOfStudyRelatedInstances;NumberOfPatientRelatedStudies;"
    "NumberOfPatientRelatedSeries;NumberOfPatientRelatedInstances;NumberOfSeriesRelatedInstances;Rows;"
    "SOPClassUID;TransferSyntaxUID;InstanceAvailability;PixelData;RequestAttributesSequence"
)
# Each tag that names one file by chance of its order of arrival is left out at the levels above it.
_EVERYTHING_OF_INSTANCE = (
    "PatientName;StudyDate;Modality;Rows;SOPClassUID;InstanceAvailability;TransferSyntaxUID"
)
_CONTENT = [
    ["MainDicomTags"],
    ["Metadata"],
    ["Children"],
    ["Parent", "Labels", "Status"],
    ["Attachments", "IsStable", "IsProtected"],
    [],
]

Query = tuple[str, str, Any]


def find(level: str, query: dict[str, Any], **rest: Any) -> Query:
    """Return a search."""
    return "POST", "/tools/find", {"Level": level, "Query": query, **rest}


def count(level: str, query: dict[str, Any], **rest: Any) -> Query:
    """Return a count."""
    return "POST", "/tools/count-resources", {"Level": level, "Query": query, **rest}


_FILTERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"PatientID": ""}, {}),
    ({"PatientID": "*"}, {}),
    ({"PatientID": "1*"}, {}),
    ({"PatientID": "?????"}, {}),
    ({"PatientID": "id00001"}, {}),
    ({"PatientName": "*^*"}, {}),
    ({"PatientName": "*E*"}, {}),
    ({"PatientName": "*e*"}, {"CaseSensitive": True}),
    ({"PatientName": "comp*"}, {}),
    ({"PatientName": "comp*"}, {"CaseSensitive": True}),
    ({"PatientName": "CompressedSamples^CT1"}, {}),
    ({"PatientName": "compressedsamples^ct1\\compressedsamples^mr1"}, {}),
    ({"PatientName": "*[*"}, {}),
    ({"PatientName": "Buc^J\u00e9r\u00f4me"}, {}),
    ({"PatientName": "buc^j\u00c9r\u00d4me"}, {}),
    ({"PatientName": "buc^jerome"}, {}),
    ({"PatientSex": "F"}, {}),
    ({"PatientSex": "m\\o"}, {}),
    ({"PatientBirthDate": "19000101-20001231"}, {}),
]
_STUDY_FILTERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"StudyDate": "20040101-20041231"}, {}),
    ({"StudyDate": "-20040119"}, {}),
    ({"StudyDate": "20040119-"}, {}),
    ({"StudyDate": "20040119"}, {}),
    ({"StudyDate": "20040119\\20040826"}, {}),
    ({"StudyDate": "-"}, {}),
    ({"StudyTime": "070000-090000"}, {}),
    ({"AccessionNumber": "*"}, {}),
    ({"StudyDescription": "*t*"}, {}),
    ({"0008,1030": "*T*", "00100010": "*"}, {}),
    ({"StudyInstanceUID": "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"}, {}),
    ({"ReferringPhysicianName": "*"}, {}),
]
_SERIES_FILTERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"Modality": "CT"}, {}),
    ({"Modality": "ct\\mr"}, {}),
    ({"Modality": "?T"}, {"CaseSensitive": True}),
    ({"SeriesDescription": "*a*", "Modality": "*"}, {}),
    ({"SeriesNumber": "1"}, {}),
    ({"Manufacturer": "*SIEMENS*"}, {}),
    ({"OperatorsName": "*"}, {}),
]


def _by_level() -> list[Query]:
    queries = []
    for number, level in enumerate(LEVELS):
        filters = _FILTERS + _STUDY_FILTERS * (number >= 1) + _SERIES_FILTERS * (number >= 2)
        for query, rest in filters:
            queries.append(find(level, query, **rest))
            if not rest:
                queries.append(count(level, query))
        for order in ("ASC", "DESC"):
            by_uid = {"Type": "DicomTag", "Key": "StudyInstanceUID", "Direction": order}
            queries.append(find("Study", {}, OrderBy=[by_uid], Since=number))
        queries += [
            find(level, {}, Since=3, Limit=4),
            find(level, {}, Since=10_000),
            find(level, {"PatientName": "comp*"}, Expand=True),
            find(level, {"PatientName": "comp*"}, Expand=True, Full=True),
            find(level, {"PatientName": "comp*"}, Expand=True, Short=True, Full=True),
            find(level, {"PatientName": "comp*"}, Expand=True, Simplify=True, Full=True),
            find(level, {}, Labels=["a"]),
            find(level, {"PatientName": "comp*"}, Labels=["a", "b"], LabelsConstraint="None"),
            find(level, {"PatientName": "comp*"}, Labels=["a"], LabelsConstraint="Any"),
            find(level, {}, MetadataQuery={"LastUpdate": "*"}),
            find(level, {}, MetadataQuery={"MainDicomTagsSignature": "0010*"}),
            find(level, {}, MetadataQuery={"ModifiedFrom": "x"}),
            *(find(level, {"PatientName": "comp*"}, ResponseContent=content) for content in _CONTENT),
            find(level, {"PatientName": "comp*"}, ResponseContent=[], RequestedTags=["PatientName"]),
            find(level, {"Rows": "64"}, Expand=True),
            find(level, {"Rows": "64", "PatientName": "comp*"}),
            find(level, {"PatientName": "comp*"}, Expand=True, RequestedTags=EVERYTHING.split(";")[:11])
            if level in ("Patient", "Study")
            else find(level, {"PatientName": "comp*"}, Expand=True, RequestedTags=["StudyDate", "PatientID"]),
        ]
    return queries


_MODALITIES: list[Query] = [
    find("Study", {"ModalitiesInStudy": "CT"}),
    find("Study", {"ModalitiesInStudy": "CT\\MR"}, Expand=True),
    find("Study", {"ModalitiesInStudy": "us", "PatientName": "*"}),
    find("Study", {"ModalitiesInStudy": "CT"}, Since=2, Limit=3),
    count("Study", {"ModalitiesInStudy": "CT"}),
    find("Study", {"NumberOfStudyRelatedInstances": "1"}),
    find("Study", {"NumberOfStudyRelatedInstances": "1"}, Expand=True),
    find("Patient", {"NumberOfPatientRelatedStudies": "2"}),
    find("Series", {"ModalitiesInStudy": "CT"}),
    find("Instance", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}),
    find("Instance", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, Limit=1000),
]
_NUMBERS: list[Query] = [
    find(
        "Instance",
        {"PatientName": "comp*"},
        OrderBy=[
            {"Type": type, "Key": "InstanceNumber", "Direction": direction},
            {"Type": "DicomTag", "Key": "SOPInstanceUID", "Direction": "ASC"},
        ],
    )
    for type in ("DicomTag", "DicomTagAsInt", "DicomTagAsFloat")
    for direction in ("ASC", "desc")
]
_WRONG_MEMBERS: list[dict[str, Any]] = [
    {"Full": 1, "Expand": True},
    {"CaseSensitive": "x"},
    {"Limit": "x"},
    {"Limit": -1},
    {"Limit": 1.0},
    {"Since": "x"},
    {"Since": -1},
    {"Since": True},
    {"RequestedTags": "x"},
    {"RequestedTags": ["foo"]},
    {"Labels": "x"},
    {"Labels": [1]},
    {"Labels": None},
    {"LabelsConstraint": "all"},
    {"LabelsConstraint": 1},
    {"ParentPatient": 1},
    {"ParentPatient": "x"},
    {"ParentSeries": "x"},
    {"MetadataQuery": 1},
    {"MetadataQuery": {"x": "1"}},
    {"MetadataQuery": {"LastUpdate": 1}},
    {"OrderBy": 1},
    {"OrderBy": [1]},
    {"OrderBy": [{}]},
    {"OrderBy": [{"Type": "DicomTag", "Key": "PatientName"}]},
    {"OrderBy": [{"Type": "DicomTag", "Key": "PatientName", "Direction": "UP"}]},
    {"OrderBy": [{"Type": "Foo", "Key": "PatientName", "Direction": "ASC"}]},
    {"OrderBy": [{"Type": "DicomTag", "Key": "Foo", "Direction": "ASC"}]},
    {"OrderBy": [{"Type": "Metadata", "Key": "Foo", "Direction": "ASC"}]},
    {"ResponseContent": 1},
    {"ResponseContent": ["Foo"]},
    {"ResponseContent": [1]},
]
_WRONG: list[Query] = [
    ("POST", "/tools/find", "[]"),
    ("POST", "/tools/find", ""),
    ("POST", "/tools/find", "{"),
    ("POST", "/tools/find", {}),
    ("POST", "/tools/find", {"Level": 1}),
    ("POST", "/tools/find", {"Level": "Foo", "Query": {}}),
    ("POST", "/tools/find", {"Level": "Study"}),
    *(find("Study", {"PatientID": "id*"}, **rest) for rest in _WRONG_MEMBERS),
    find("Study", {"PatientID": 1}),
    find("Study", {"Foo": "x"}),
    find("Study", {"A.B": "x"}),
    find("Study", {"StudyDate": "2024*"}),
    find("Study", {"StudyDate": "2024*-"}),
    find("Instance", {"Rows": "6*"}),
    find("Instance", {"Rows": "64"}, Since=1),
    find("Study", {"NumberOfStudyRelatedInstances": "1*"}),
    count("Study", {}, CaseSensitive=True),
    count("Study", {"Rows": "8"}),
    count("Study", {"NumberOfStudyRelatedInstances": "1"}),
    count("Study", {}, Limit="x", OrderBy=3, RequestedTags=1, Expand=4, ResponseContent=["x"]),
    ("POST", "/tools/count-resources", {}),
    ("POST", "/tools/count-resources", "x"),
    ("POST", "/tools/bulk-content", "x"),
    ("POST", "/tools/bulk-content", {}),
    ("POST", "/tools/bulk-content", {"Resources": [1]}),
    ("POST", "/tools/bulk-content", {"Resources": [], "Level": "Foo"}),
    ("POST", "/tools/bulk-content", {"Resources": [], "Level": 3}),
    ("POST", "/tools/bulk-content", {"Resources": [], "Metadata": 1}),
    ("POST", "/tools/bulk-content", {"Resources": [], "Full": 1}),
    ("POST", "/tools/bulk-content", {"Resources": ["none"]}),
]
_URLS: list[Query] = [
    ("GET", f"/{levels}?{arguments}", None)
    for levels in ("patients", "studies", "series", "instances")
    for arguments in (
        "",
        "since=2&limit=3",
        "expand&since=2&limit=3",
        "expand&since=2&limit=3&full",
        "expand&since=2&limit=3&short",
        "since=2&limit=3&response-content=Labels;Parent",
        "since=2&limit=3&response-content=",
        "expand&response-content=Foo",
        "expand&requested-tags=Foo",
        "requested-tags=PatientName",
        "expand&since=2&limit=3&requested-tags=PatientName;PatientSex",
        "expand&since=2&limit=3&requestedTags=PatientName",
    )
] + [
    (
        "GET",
        "/studies?expand&requested-tags=ModalitiesInStudy;SOPClassesInStudy;NumberOfStudyRelatedSeries",
        None,
    ),
    (
        "GET",
        "/patients?expand&requested-tags=NumberOfPatientRelatedSeries;NumberOfPatientRelatedInstances",
        None,
    ),
    ("GET", "/series?expand&requested-tags=StudyDescription;NumberOfSeriesRelatedInstances", None),
    ("GET", f"/instances?expand&requested-tags={_EVERYTHING_OF_INSTANCE}", None),
    ("GET", f"/instances?expand&full&requested-tags={_EVERYTHING_OF_INSTANCE}", None),
]
_LOOKUPS: list[Query] = [
    ("POST", "/tools/lookup", text)
    for text in (
        "",
        "id00001",
        "ID00001",
        "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322",
        "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322",
        "CompressedSamples^CT1",
        "CT",
    )
]

QUERIES: list[Query] = [*_by_level(), *_MODALITIES, *_NUMBERS, *_WRONG, *_URLS, *_LOOKUPS]
