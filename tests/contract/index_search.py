"""The contract of the index: searching."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orthanc_trio.dicom.match import Between, Criterion, Equal, Like, OneOf
from orthanc_trio.index.query import (
    Condition,
    FindRequest,
    LabelsCondition,
    LabelsConstraint,
    MetadataKey,
    Order,
    OrderType,
    TagKey,
)
from orthanc_trio.index.transaction import Transaction
from orthanc_trio.model.resource import Metadata, ResourceLevel

from .forest import INSTANCE, PATIENT, SERIES, STUDY, Backend, dicom_file, row_of, store_all

NAME, ID, SEX = "0010,0010", "0010,0020", "0010,0040"
DATE, MODALITY, SOP_UID = "0008,0020", "0008,0060", "0008,0018"
INSTANCE_NUMBER = "0020,0013"


def fill(tx: Transaction) -> None:
    """Two patients; the second study of the first says another name, and has two modalities."""
    _create(tx, PATIENT, "p1", None, {ID: "A1", NAME: "Äneas^Doe", SEX: "F"})
    _create(tx, PATIENT, "p2", None, {ID: "B2", NAME: "zoe[1]"})
    _create(tx, STUDY, "s1", "p1", {DATE: "20240101"}, {ID: "A1", NAME: "Äneas^Doe", SEX: "F"})
    _create(tx, STUDY, "s2", "p1", {DATE: "20240301"}, {ID: "A1", NAME: "Other"})
    _create(tx, STUDY, "s3", "p2", {}, {ID: "B2", NAME: "zoe[1]"})
    for id, study, modality in (("e1", "s1", "CT"), ("e2", "s2", "MR"), ("e3", "s2", "CT"), ("e4", "s3", "")):
        _create(tx, SERIES, id, study, {MODALITY: modality})
    for number, series in enumerate(("e1", "e2", "e3", "e4", "e4")):
        tags = {SOP_UID: f"1.{number}", INSTANCE_NUMBER: str(8 + number)}
        _create(tx, INSTANCE, f"i{number}", series, tags)
        tx.attach(row_of(tx, f"i{number}"), dicom_file(f"file-{number}"))
        tx.set_metadata(row_of(tx, f"i{number}"), {Metadata.SOP_CLASS_UID: f"1.2.{number // 2}"})
    tx.set_metadata(row_of(tx, "s1"), {1024: "Mine"})
    for id, labels in {"s1": "ab", "s2": "a"}.items():
        for label in labels:
            tx.add_label(row_of(tx, id), label)


def _create(
    tx: Transaction,
    level: ResourceLevel,
    id: str,
    parent: str | None,
    tags: Mapping[str, str],
    patient_tags: Mapping[str, str] | None = None,
) -> None:
    tx.create(level, id, None if parent is None else row_of(tx, parent), tags, patient_tags)


def tag(level: ResourceLevel, name: str, criterion: Criterion, *, is_exact: bool = False) -> Condition:
    return Condition(TagKey(level, name), criterion, is_exact)


class SearchContract(Backend):
    """Conditions, labels, order and pages; what descendants have."""

    async def _found(self, folder: Path, level: ResourceLevel, *conditions: Condition, **rest: Any) -> str:
        request = FindRequest(level=level, conditions=conditions, **rest)
        async with self.open(folder) as index:
            await index.write(fill)
            found = await index.read(lambda tx: tx.search(request))
            assert await index.read(lambda tx: tx.search(request), is_quick=True) == found
            if not request.since and request.limit is None:
                assert await index.read(lambda tx: tx.count(request)) == len(found)
        return " ".join(found)

    async def test_without_conditions_all_are_found_in_order_of_identifiers(self, tmp_path: Path) -> None:
        assert await self._found(tmp_path, STUDY) == "s1 s2 s3"
        assert await self._found(tmp_path / "2", STUDY, since=1, limit=1) == "s2"
        assert await self._found(tmp_path / "3", STUDY, since=1) == "s2 s3"

    async def test_values_are_compared_folded_unless_exactly(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(fill)

            async def patients(criterion: Criterion, *, is_exact: bool = False) -> Sequence[str]:
                condition = tag(PATIENT, NAME, criterion, is_exact=is_exact)
                return await index.read(
                    lambda tx: tx.search(FindRequest(level=PATIENT, conditions=(condition,)))
                )

            assert await patients(Equal("äNEAS^doe")) == ["p1"]
            assert await patients(Equal("Aneas^Doe")) == []
            assert await patients(Equal("äNEAS^doe"), is_exact=True) == []
            assert await patients(Equal("Äneas^Doe"), is_exact=True) == ["p1"]
            assert await patients(Like("ä*^d?e")) == ["p1"]
            assert await patients(Like("ZOE[1]*")) == ["p2"]
            assert await patients(Like("*O*")) == ["p1", "p2"]
            assert await patients(Like("*o*e*a*s*")) == []
            assert await patients(Like("*a*^*d*e")) == ["p1"]
            assert await patients(OneOf(("zoe[1]", "x"))) == ["p2"]
            assert await patients(OneOf(())) == []

    async def test_a_range_is_one_of_texts_and_needs_a_value(self, tmp_path: Path) -> None:
        january = tag(STUDY, DATE, Between("2024", "20240201"))
        assert await self._found(tmp_path, STUDY, january) == "s1"
        assert await self._found(tmp_path / "2", SERIES, tag(STUDY, DATE, Between("20240201", ""))) == "e2 e3"
        assert await self._found(tmp_path / "3", STUDY, tag(STUDY, DATE, Between("", "9"))) == "s1 s2"

    async def test_from_the_study_down_the_patient_is_as_the_study_says(self, tmp_path: Path) -> None:
        other = tag(PATIENT, NAME, Equal("other"))
        assert await self._found(tmp_path, PATIENT, other) == ""
        assert await self._found(tmp_path / "2", STUDY, other) == "s2"
        assert await self._found(tmp_path / "3", INSTANCE, other) == "i1 i2"
        sex = tag(PATIENT, SEX, Equal("f"))
        assert await self._found(tmp_path / "4", SERIES, sex) == "e1"
        assert await self._found(tmp_path / "5", PATIENT, sex) == "p1"

    async def test_a_tag_of_a_lower_level_is_that_of_any_descendant(self, tmp_path: Path) -> None:
        modality = tag(SERIES, MODALITY, Equal("ct"))
        assert await self._found(tmp_path, STUDY, modality) == "s1 s2"
        assert await self._found(tmp_path / "2", PATIENT, modality) == "p1"
        number = tag(INSTANCE, INSTANCE_NUMBER, Like("1?"))
        assert await self._found(tmp_path / "3", STUDY, number, tag(SERIES, MODALITY, Like("?T"))) == "s2"
        exact = tag(SERIES, MODALITY, Equal("ct"), is_exact=True)
        assert await self._found(tmp_path / "4", STUDY, exact) == ""

    async def test_all_conditions_hold(self, tmp_path: Path) -> None:
        conditions = (tag(PATIENT, ID, Equal("a1")), tag(SERIES, MODALITY, Equal("CT")))
        assert await self._found(tmp_path, SERIES, *conditions) == "e1 e3"
        within = ((STUDY, "s2"),)
        assert await self._found(tmp_path / "2", SERIES, *conditions, within=within) == "e3"
        assert await self._found(tmp_path / "3", STUDY, within=within) == "s2"
        assert await self._found(tmp_path / "4", STUDY, within=((STUDY, "none"),)) == ""

    async def test_metadata_are_those_of_the_resource_itself(self, tmp_path: Path) -> None:
        mine = Condition(MetadataKey(1024), Equal("MINE"))
        assert await self._found(tmp_path, STUDY, mine) == "s1"
        assert await self._found(tmp_path / "2", SERIES, mine) == ""
        exact = Condition(MetadataKey(1024), Like("MI*"), is_exact=True)
        assert await self._found(tmp_path / "3", STUDY, exact) == ""

    async def test_labels_are_all_any_or_none(self, tmp_path: Path) -> None:
        expected = {
            ("ab", LabelsConstraint.ALL): "s1",
            ("a", LabelsConstraint.ALL): "s1 s2",
            ("bx", LabelsConstraint.ANY): "s1",
            ("b", LabelsConstraint.NONE): "s2 s3",
            ("", LabelsConstraint.ALL): "s1 s2 s3",
            ("", LabelsConstraint.ANY): "s1 s2 s3",
            ("", LabelsConstraint.NONE): "s3",
        }
        for number, ((labels, constraint), found) in enumerate(expected.items()):
            condition = LabelsCondition(tuple(labels), constraint)
            assert await self._found(tmp_path / str(number), STUDY, labels=condition) == found

    async def test_the_order_is_that_of_texts_or_numbers_and_nothing_comes_last(self, tmp_path: Path) -> None:
        number = TagKey(INSTANCE, INSTANCE_NUMBER)
        expected = {
            (Order(number),): "i2 i3 i4 i0 i1",
            (Order(number, OrderType.INTEGER),): "i0 i1 i2 i3 i4",
            (Order(number, OrderType.FLOAT, True),): "i4 i3 i2 i1 i0",
            (Order(TagKey(STUDY, DATE)),): "i0 i1 i2 i3 i4",
            (Order(TagKey(STUDY, DATE), is_descending=True),): "i1 i2 i0 i3 i4",
            (Order(TagKey(PATIENT, ID), is_descending=True), Order(number, OrderType.INTEGER, True)): (
                "i4 i3 i2 i1 i0"
            ),
            (Order(MetadataKey(1024)), Order(number)): "i2 i3 i4 i0 i1",
        }
        for place, (order, found) in enumerate(expected.items()):
            assert await self._found(tmp_path / str(place), INSTANCE, order=order) == found

    async def test_new_tags_are_searched_and_those_of_the_deleted_are_not(self, tmp_path: Path) -> None:
        requests = [
            FindRequest(level=STUDY, conditions=(tag(PATIENT, NAME, Like(pattern)),))
            for pattern in ("N*", "*ewe*")
        ]
        async with self.open(tmp_path) as index:
            await index.write(fill)
            await index.write(lambda tx: tx.set_tags(row_of(tx, "s1"), {DATE: "1"}, {NAME: "newer"}))
            assert await index.read(lambda tx: [tx.search(one) for one in requests]) == [["s1"], ["s1"]]
            await index.write(lambda tx: tx.set_tags(row_of(tx, "s1"), {DATE: "1"}, {NAME: "newest"}))
            assert await index.read(lambda tx: [tx.search(one) for one in requests]) == [["s1"], ["s1"]]
            await index.write(lambda tx: tx.delete("s1"))
            await index.write(store_all("p/s1"))
            assert await index.read(lambda tx: [tx.search(one) for one in requests]) == [[], []]

    async def test_values_and_counts_below_are_told_for_many(self, tmp_path: Path) -> None:
        modality, sop_class = TagKey(SERIES, MODALITY), MetadataKey(Metadata.SOP_CLASS_UID)
        async with self.open(tmp_path) as index:
            await index.write(fill)
            studies = ["s2", "none", "s1", "s3"]
            assert await index.read(lambda tx: tx.values_below(studies, SERIES, modality)) == {
                "s1": ["CT"],
                "s2": ["CT", "MR"],
                "s3": [""],
            }
            assert await index.read(lambda tx: tx.values_below(studies, INSTANCE, sop_class)) == {
                "s1": ["1.2.0"],
                "s2": ["1.2.0", "1.2.1"],
                "s3": ["1.2.1", "1.2.2"],
            }
            assert await index.read(lambda tx: tx.counts_below(studies, INSTANCE)) == {
                "s1": 1,
                "s2": 2,
                "s3": 2,
            }
            assert await index.read(lambda tx: tx.counts_below(["p1"], STUDY)) == {"p1": 2}
            assert await index.read(lambda tx: tx.counts_below(["none"], STUDY)) == {}

    async def test_attachments_of_many_come_by_resource(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(fill)
            found = await index.read(lambda tx: tx.attachments_of(["i1", "s1", "none", "i0"]))
        assert found == {"i0": [dicom_file("file-0")], "i1": [dicom_file("file-1")]}
