"""Who is next: by priority and order of submission, among those whose type and destination let them."""

import random
import time
from collections import Counter

import pytest

from orthanc_trio.jobs.options import Holds, Limits
from orthanc_trio.jobs.pending import PendingQueue
from orthanc_trio.model.job import JobRecord
from tests.support.jobs import make_record


def job(
    sequence: int, *, kind: str = "Store", destination: str | None = None, priority: int = 0
) -> JobRecord:
    return make_record(
        id=f"{sequence:06d}", sequence=sequence, kind=kind, destination=destination, priority=priority
    )


class Lanes:
    """A queue whose jobs run when they are popped."""

    def __init__(self, *jobs: JobRecord, limits: Limits | None = None) -> None:
        self.queue = PendingQueue(limits)
        self.jobs = {job.id: job for job in jobs}
        self.running: list[JobRecord] = []
        for one in jobs:
            self.queue.add(one)

    def start(self) -> int | None:
        job_id = self.queue.pop()
        if job_id is None:
            return None
        record = self.jobs[job_id]
        self.queue.enter(record)
        self.running.append(record)
        return record.sequence

    def start_all(self) -> list[int]:
        return list(iter(self.start, None))

    def end(self, sequence: int) -> None:
        record = next(record for record in self.running if record.sequence == sequence)
        self.running.remove(record)
        self.queue.leave(record)


def test_a_full_destination_keeps_nobody_else_waiting() -> None:
    jobs = [job(number, destination="slow") for number in range(1, 6)]
    jobs += [job(number, destination="quick") for number in range(6, 8)]
    lanes = Lanes(*jobs, job(8), limits=Limits(destinations={"slow": 2}))
    assert lanes.start_all() == [1, 2, 6, 7, 8]
    lanes.end(2)
    assert lanes.start_all() == [3]
    lanes.end(6)
    assert lanes.start_all() == []


def test_a_full_type_keeps_no_other_type_waiting() -> None:
    lanes = Lanes(*(job(n, kind="Big") for n in range(1, 4)), job(4), limits=Limits(types={"Big": 1}))
    assert lanes.start_all() == [1, 4]
    lanes.end(1)
    assert lanes.start_all() == [2]


def test_a_job_needs_room_in_its_type_and_in_its_destination() -> None:
    limits = Limits(types={"Store": 2}, destinations={"a": 1})
    lanes = Lanes(
        job(1, destination="a"),
        job(2, destination="a"),
        job(3, destination="b"),
        job(4, destination="b"),
        job(5, kind="Other", destination="a"),
        limits=limits,
    )
    assert lanes.start_all() == [1, 3]
    lanes.end(3)
    assert lanes.start_all() == [4]
    lanes.end(1)
    assert lanes.start_all() == [2]
    lanes.end(2)
    assert lanes.start_all() == [5]


def test_a_limit_for_all_counts_each_destination_by_itself() -> None:
    jobs = [job(number, destination="ab"[number % 2]) for number in range(6)]
    lanes = Lanes(*jobs, limits=Limits(destinations={"*": 1, "b": 2}))
    assert lanes.start_all() == [0, 1, 3]


def test_a_held_destination_waits_until_it_is_released() -> None:
    lanes = Lanes(job(1, destination="a"), job(2, destination="b"), job(3))
    lanes.queue.hold(Holds(destinations=("a",)))
    assert lanes.start_all() == [2, 3]
    lanes.queue.add(job(4, destination="a"))
    lanes.jobs["000004"] = job(4, destination="a")
    assert lanes.start_all() == []
    lanes.queue.hold(Holds())
    assert lanes.start_all() == [1, 4]


def test_a_held_type_waits_until_it_is_released() -> None:
    lanes = Lanes(job(1, kind="Big"), job(2))
    lanes.queue.hold(Holds(types=("Big",)))
    assert lanes.start_all() == [2]
    lanes.queue.hold(Holds())
    assert lanes.start_all() == [1]


def test_the_best_job_of_a_lane_may_come_and_go() -> None:
    lanes = Lanes(job(1, destination="a"), job(2, destination="a", priority=1), job(3, priority=5))
    lanes.queue.discard("000003")
    lanes.queue.discard("000002")
    assert lanes.start() == 1
    lanes.queue.add(lanes.jobs["000002"])
    assert lanes.start_all() == [2]
    lanes.queue.add(lanes.jobs["000003"])
    assert lanes.start_all() == [3]


def test_a_job_that_leaves_and_comes_back_counts_once() -> None:
    lanes = Lanes(job(1), job(2))
    for _ in range(3):
        lanes.queue.discard("000001")
        lanes.queue.add(lanes.jobs["000001"])
    assert len(lanes.queue) == 2
    assert lanes.start_all() == [1, 2]


def entries(queue: PendingQueue) -> int:
    entered = sum(len(lane.entries) for lane in queue._lanes.values())
    return entered + sum(map(len, queue._offers.values()))


@pytest.mark.parametrize("destination", [None, "a"])
def test_the_queue_does_not_grow_by_jobs_that_left_it(destination: str | None) -> None:
    lanes = Lanes(job(0), limits=Limits(destinations={"b": 1}))
    for number in range(1, 1000):
        lanes.queue.add(job(number, destination=destination or str(number), priority=-1))
        lanes.queue.discard(f"{number:06d}")
    assert len(lanes.queue) == 1
    assert entries(lanes.queue) < 300
    assert lanes.start_all() == [0]


def test_the_queue_does_not_grow_by_jobs_that_overtake() -> None:
    lanes = Lanes(job(0))
    for number in range(1, 1000):
        better = lanes.jobs[f"{number:06d}"] = job(number, priority=1)
        lanes.queue.add(better)
        assert lanes.start() == number
        lanes.end(number)
    assert entries(lanes.queue) < 10


def is_open(record: JobRecord, running: Counter[str | None]) -> bool:
    return running[record.kind] < LIMITS.types.get(record.kind, 99) and (
        running[record.destination] < LIMITS.destinations.get(record.destination or "", 99)
    )


LIMITS = Limits(types={"A": 3, "B": 1}, destinations={"x": 1, "y": 2})


@pytest.mark.parametrize("seed", range(20))
def test_the_lanes_choose_as_a_search_through_all_jobs_would(seed: int) -> None:
    dice = random.Random(seed)
    lanes = Lanes(limits=LIMITS)
    waiting: dict[str, JobRecord] = {}
    for number in range(300):
        match dice.randrange(5):
            case 0 | 1:
                record = job(
                    number,
                    kind=dice.choice("ABC"),
                    destination=dice.choice([None, "x", "y", "z"]),
                    priority=dice.randrange(3),
                )
                lanes.jobs[record.id] = waiting[record.id] = record
                lanes.queue.add(record)
            case 2 if waiting:
                job_id = dice.choice(list(waiting))
                del waiting[job_id]
                lanes.queue.discard(job_id)
            case 3 if lanes.running:
                lanes.end(dice.choice(lanes.running).sequence)
            case _:
                running = Counter(name for one in lanes.running for name in (one.kind, one.destination))
                running[None] = -1000
                able = [one for one in waiting.values() if is_open(one, running)]
                best = min(able, key=lambda one: (-one.priority, one.sequence), default=None)
                assert lanes.start() == (best.sequence if best else None)
                if best is not None:
                    del waiting[best.id]


def test_a_decision_stays_quick_with_many_jobs_and_closed_lanes() -> None:
    jobs = [job(number, destination=f"d{number % 5000}") for number in range(20_000)]
    lanes = Lanes(*jobs, job(20_000, priority=-1), limits=Limits(destinations={"*": 1}))
    lanes.start_all()
    begin = time.perf_counter()
    for sequence in range(1000):
        lanes.end(sequence)
        assert lanes.start() == sequence + 5000
    assert (time.perf_counter() - begin) / 1000 < 0.001
