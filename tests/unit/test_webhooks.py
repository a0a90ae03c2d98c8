"""Webhooks up to the door: the option, what is told, and that each event is handed over exactly once."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import pytest
import trio
from msgspec.structs import replace
from trio.testing import MockClock, wait_all_tasks_blocked

from orthanc_trio.bus import EventBus
from orthanc_trio.config.choice import IndexBackend
from orthanc_trio.config.jobs import JobsLimits
from orthanc_trio.config.load import Source, parse
from orthanc_trio.config.settings import Settings
from orthanc_trio.config.webhook import CHANGE_EVENTS, JOB_EVENTS, Webhook, WebhookRetry
from orthanc_trio.index.index import Index
from orthanc_trio.index.opening import open_index
from orthanc_trio.index.transaction import ChangesPage, ReadTransaction, Transaction
from orthanc_trio.jobs.engine import JobsEngine
from orthanc_trio.jobs.journal import decode_record
from orthanc_trio.jobs.options import EngineOptions, HistoryOptions
from orthanc_trio.jobs.submission_log import NewJob, SubmissionLog
from orthanc_trio.kinds.webhook import WebhookKind
from orthanc_trio.model.errors import BadParameterType, DatabaseError, OrthancError, ParameterOutOfRange
from orthanc_trio.model.event import Change, ChangeEvent, ChangeType
from orthanc_trio.model.job import JobState
from orthanc_trio.model.resource import ResourceLevel
from orthanc_trio.options import engine_options
from orthanc_trio.remote.client import HttpReply
from orthanc_trio.services import webhook_receiver, webhooks
from orthanc_trio.services.jobs_store import IndexJobsStore
from orthanc_trio.services.webhook_event import Delivery, change_event, job_event
from orthanc_trio.services.webhook_handover import Handed, Hooks
from orthanc_trio.services.webhook_receiver import Receiver
from orthanc_trio.services.webhooks import Webhooks
from tests.support.jobs import EPOCH, CountArgs, CountKind, NoOutputs, make_record, now, run_here

T = TypeVar("T")
SOURCE = UUID(int=7)

# The option


def option(value: Any) -> tuple[Webhook, ...]:
    return parse([Source("a.json", json.dumps({"Webhooks": value}))], {}, Path("/")).settings.webhooks


def test_a_receiver_needs_a_url_and_events() -> None:
    (webhook,) = option([{"Url": "https://User:pw@Example.com:8443/x?y=z", "Events": ["NewStudy"]}])

    assert webhook.host == "example.com"
    assert webhook.event_names == {"NewStudy"}
    assert (webhook.secret, webhook.timeout) == ("", 10)
    policy = webhook.retry.policy
    assert (policy.max_attempts, policy.delay_s, policy.backoff, policy.max_delay_s) == (5, 10, 2, 600)


def test_a_star_is_all_events() -> None:
    (webhook,) = option([{"Url": "http://a", "Events": ["NewStudy", "*"]}])

    assert webhook.event_names == {*JOB_EVENTS, *CHANGE_EVENTS}
    assert "StableStudy" in webhook.event_names


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([{"Url": "http://a"}], "missing required field `Events`"),
        ([{"Url": "http://a", "Events": ["*"], "Secrets": "x"}], "unknown field `Secrets`"),
        ([{"Url": "http://a", "Events": ["*"], "Timeout": 0}], "$[0].Timeout"),
        ([{"Url": "http://a", "Events": ["*"], "Retry": {"MaxAttempts": 0}}], "$[0].Retry.MaxAttempts"),
        ([{"Url": "http://a", "Events": ["*"], "Secret": 5}], "$[0].Secret"),
        ([{"Url": "http://a", "Events": []}], '[0]: "Events" must not be empty'),
        (
            [{"Url": "http://a", "Events": ["NewPlanet"]}],
            '[0]: unknown event "NewPlanet", must be one of *, Job',
        ),
        ([{"Url": "http://a", "Events": ["*"]}] * 2, '[1]: "Url" is repeated'),
        *(
            ([{"Url": url, "Events": ["*"]}], '[0]: "Url" must be like http://host/path')
            for url in (
                "",
                "a/b",
                "ftp://a",
                "file:///etc/passwd",
                "http:///x",
                "http://a:b/",
                "http://a:99999",
                "http://a:0/",
                "http://a/ b",
                "http://a/#x",
                "http://ä/",
                "http://a/\n",
                "http://[1::/",
            )
        ),
    ],
)
def test_a_wrong_receiver_is_refused_by_a_message_that_names_the_option(value: Any, text: str) -> None:
    with pytest.raises(ParameterOutOfRange) as raised:
        option(value)

    assert raised.value.details.startswith('The configuration option "Webhooks"')
    assert text in raised.value.details


@pytest.mark.parametrize("value", [{}, "http://a", ["http://a"], 5])
def test_a_wrong_type_is_refused(value: Any) -> None:
    with pytest.raises(BadParameterType, match='"Webhooks" must be an array of objects'):
        option(value)


# What is told


def test_a_change_is_told_as_in_the_log() -> None:
    change = Change(seq=5, type=ChangeType.STABLE_STUDY, level=ResourceLevel.STUDY, id="abc", date=EPOCH)

    event = change_event(SOURCE, change)

    assert json.loads(bytes(event.body)) == {
        "EventId": event.id,
        "Type": "StableStudy",
        "Timestamp": "20260101T000000",
        "Change": {
            "ChangeType": "StableStudy",
            "Date": "20260101T000000",
            "ID": "abc",
            "Path": "/studies/abc",
            "ResourceType": "Study",
            "Seq": 5,
        },
    }
    assert event.id == change_event(SOURCE, change).id
    assert event.id != change_event(UUID(int=8), change).id
    assert event.id != change_event(SOURCE, replace(change, seq=6)).id


def test_a_job_is_told_as_by_its_route() -> None:
    record = make_record(state=JobState.FAILURE, content={"Description": "x"})

    event = job_event(SOURCE, "JobFailure", record)

    body = json.loads(bytes(event.body))
    assert body["EventId"] == event.id
    assert (body["Type"], body["Timestamp"]) == ("JobFailure", "20260101T000000")
    assert body["Job"]["ID"] == event.subject == record.id
    assert body["Job"]["Content"] == {"Description": "x"}
    again = replace(record, changed=EPOCH + timedelta(seconds=1))
    assert job_event(SOURCE, "JobFailure", again).id != event.id
    assert job_event(SOURCE, "JobSubmitted", again).id == job_event(SOURCE, "JobSubmitted", record).id


def test_a_huge_content_is_left_out() -> None:
    event = job_event(SOURCE, "JobSuccess", make_record(content={"x": "x" * 100_000}))

    assert json.loads(bytes(event.body))["Job"]["Content"] == {}


# The handover


class MortalIndex:
    """An index whose writes can fail, or stop to arrive as after SIGKILL."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self.writes = 0
        self.read_at_once = index.read_at_once
        self.dies_at_write: int | None = None
        self.fails = 0
        self.died = trio.Event()

    async def read(self, function: Callable[[ReadTransaction], T], *, is_quick: bool = False) -> T:
        return await self._index.read(function, is_quick=is_quick)

    async def write(self, function: Callable[[Transaction], T]) -> T:
        if self.fails:
            self.fails -= 1
            raise DatabaseError("made by the test")
        self.writes += 1
        if self.dies_at_write is not None and self.writes >= self.dies_at_write:
            self.died.set()
            await trio.sleep_forever()
        return await self._index.write(function)

    def write_here(self, function: Callable[[Transaction], T]) -> T:
        return self._index.write_here(function)


class MortalLog(SubmissionLog):
    """The log of new jobs of a process; it dies with the index, or with one of its own writes."""

    index: MortalIndex

    def append(self, job: NewJob) -> bool:
        index = self.index
        index.writes += 1
        if index.dies_at_write is not None and index.writes >= index.dies_at_write:
            index.died.set()
            return False  # so it goes to the index, which is dead
        return super().append(job)


class World:
    """What survives a process: the index, the log of new jobs, and the receivers."""

    def __init__(self, index: Index, log: Path) -> None:
        self.index = index
        self.log = log
        self.delivered: list[tuple[str, dict[str, Any]]] = []
        """URL and body of all that was answered with 200."""
        self.is_away = False
        self.changed = trio.Event()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> HttpReply:
        await trio.lowlevel.checkpoint()
        if self.is_away:
            return HttpReply(503)
        event = json.loads(body)
        assert headers["X-OrthancTrio-Delivery"] == event["EventId"]
        self.delivered.append((url, event))
        self.changed.set()
        self.changed = trio.Event()
        return HttpReply(200)

    def keys(self) -> list[tuple[str, str]]:
        """What was told, by what it is about."""
        return [
            (event["Type"], str(event["Change"]["Seq"] if "Change" in event else event["Job"]["ID"]))
            for _, event in self.delivered
        ]

    def counts(self) -> Counter[str]:
        """How often each event came."""
        return Counter(event["EventId"] for _, event in self.delivered)

    async def saved_deliveries(self) -> set[str]:
        """The events of the saved jobs that have not succeeded."""
        records = await self.index.read(lambda tx: tx.load_jobs(decode_record))
        entered = int(await self.index.read(lambda tx: tx.get_property("jobs.logged")) or 0)
        with closing(SubmissionLog.open(self.log, syncs=False)) as log:
            waiting = [entry for entry in log.waiting() if entry.number > entered]
        records += [decode_record(entry.job.record) for entry in waiting]
        return {
            msgspec.json.decode(record.args, type=Delivery).id
            for record in records
            if record.kind == "Webhook" and record.state is not JobState.SUCCESS
        }

    def told(self, url: str = "http://a/") -> list[str]:
        """The events of one receiver, in any order."""
        return sorted(event["Type"] for to, event in self.delivered if to == url)

    def seqs(self, url: str = "http://a/") -> Counter[int]:
        changes = (event["Change"] for to, event in self.delivered if to == url and "Change" in event)
        return Counter(change["Seq"] for change in changes)

    async def until_told(self, count: int) -> None:
        while len(self.delivered) < count:
            await self.changed.wait()


class Process:
    """One run of the server, as far as webhooks are concerned."""

    def __init__(
        self,
        world: World,
        index: MortalIndex,
        log: SubmissionLog,
        webhooks: tuple[Webhook, ...],
        **engine: Any,
    ) -> None:
        self.world = world
        self.index = index
        self.bus = EventBus()
        self.hooks = Hooks(webhooks)
        self.kind = CountKind()
        defaults: dict[str, Any] = {
            "concurrent_jobs": 2,
            "history": HistoryOptions(size=10),
            "slotless": frozenset(("Webhook",)),
        }
        self.engine = JobsEngine(
            (WebhookKind(self.hooks, world, now), self.kind),
            store := IndexJobsStore(index, log),
            NoOutputs(),
            self.bus.publish,
            EngineOptions(**(defaults | engine)),
            now=now,
            in_worker=run_here,
        )
        self.webhooks = Webhooks(self.hooks, self.engine, index, store, now=now)
        self.started = trio.Event()

    async def change(self, number: int = 1, type: ChangeType = ChangeType.NEW_STUDY) -> None:
        """Log changes of a study, and tell of them."""

        def log(tx: Transaction) -> list[Change]:
            found = tx.find("study")
            row = found.row if found else tx.create(ResourceLevel.STUDY, "study", None, {})
            return [tx.log_change(type, row, now()) for _ in range(number)]

        for change in await self.index.write(log):
            self.bus.publish(ChangeEvent(change))

    async def count(self, steps: int = 1) -> JobState:
        """Run a job of a user."""
        record = await self.engine.submit("Count", CountArgs(steps))
        return (await self.engine.wait(record.id)).state

    async def at_rest(self) -> None:
        """Return when all deliveries have ended."""
        while True:
            await trio.sleep(1)
            records = self.engine.records()
            if all(record.state.is_completed for record in records if record.kind == "Webhook"):
                return


@asynccontextmanager
async def process(
    world: World, *webhooks: Webhook, dies_at: int | None = None, lag_s: float = 0, **engine: Any
) -> AsyncIterator[Process]:
    index = MortalIndex(world.index)
    index.dies_at_write = dies_at
    log = MortalLog.open(world.log, syncs=False)
    log.index = index
    run = Process(world, index, log, webhooks, **engine)
    with closing(log):
        async with _running(run, dies_at=dies_at, lag_s=lag_s):
            yield run


@asynccontextmanager
async def _running(run: Process, *, dies_at: int | None, lag_s: float) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:

        async def start() -> None:
            await run.webhooks.load()
            await nursery.start(run.engine.run)
            await trio.sleep(lag_s)
            nursery.start_soon(run.webhooks.run)
            run.started.set()

        with run.bus.subscribed(run.webhooks.notice):
            if dies_at is None:
                await start()
                yield
                await run.engine.stop(0)
            else:
                nursery.start_soon(start)
                yield
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_world() -> AsyncIterator[World]:
    async with open_index(IndexBackend.MEMORY, Path(), is_synchronous=False) as index:
        with TemporaryDirectory() as folder:
            yield World(index, Path(folder) / "log")


def hook(url: str = "http://a/", events: tuple[str, ...] = ("*",), **fields: Any) -> Webhook:
    return Webhook(url=url, events=events, **fields)


async def test_each_receiver_is_told_of_its_events(autojump_clock: MockClock) -> None:
    changes, jobs = (
        hook("http://a/", ("NewStudy", "JobFailure")),
        hook("http://b/", ("JobSubmitted", "JobSuccess")),
    )
    async with open_world() as world, process(world, changes, jobs) as run:
        await run.change()
        await run.change(type=ChangeType.STABLE_STUDY)
        assert await run.count() is JobState.SUCCESS
        await run.at_rest()

        assert world.told("http://a/") == ["NewStudy"]
        assert world.told("http://b/") == ["JobSubmitted", "JobSuccess"]
        assert [record.kind for record in run.engine.records()] == ["Count"]


async def test_failures_and_their_repetition_are_told(autojump_clock: MockClock) -> None:
    async def fail(*_: Any) -> None:
        raise OrthancError("made by the test")

    async with open_world() as world, process(world, hook(events=JOB_EVENTS)) as run:
        run.kind.hook = fail
        record = await run.engine.submit("Count", CountArgs())
        await run.engine.wait(record.id)
        await trio.sleep(1)
        await run.engine.resubmit(record.id)
        await run.at_rest()

        assert world.told() == ["JobFailure", "JobFailure", "JobSubmitted"]
        assert len({event["EventId"] for _, event in world.delivered}) == 3


async def test_what_happened_before_the_first_start_is_not_told(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        async with process(world) as run:
            await run.change(5)
            await run.count()
            await trio.sleep(1)
        async with process(world, hook()) as run:
            await run.change()
            await run.at_rest()

            assert world.told() == ["NewStudy"]


async def test_a_receiver_gets_no_history_of_events_that_are_new_to_it(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        async with process(world, hook(events=("StableStudy", "JobFailure"))) as run:
            await run.change(3)
            await run.count()
            await trio.sleep(1)
        async with process(world, hook()) as run:
            await run.change(type=ChangeType.STABLE_STUDY)
            await run.at_rest()

            assert world.told() == ["StableStudy"]


async def test_what_happened_while_nobody_looked_is_told_at_the_next_start(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        async with process(world, hook()):
            pass
        async with process(world) as run:
            await run.change(250)
            await run.count()
        async with process(world, hook()) as run:
            await run.at_rest()

            assert set(world.seqs().values()) == {1}
            assert world.told() == ["JobSubmitted", "JobSuccess", *["NewStudy"] * 250]
        async with process(world, hook()) as run:
            await run.at_rest()

            assert len(world.delivered) == 252


@pytest.mark.parametrize("dies_at", range(1, 24))
async def test_a_crash_at_any_write_neither_loses_nor_repeats(
    autojump_clock: MockClock, dies_at: int
) -> None:
    async with open_world() as world:
        async with process(world, hook()):
            pass
        async with process(world, hook(), dies_at=dies_at) as run:
            with trio.move_on_after(60):
                await run.started.wait()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(run.change, 2)
                    nursery.start_soon(run.change, 3)
                    nursery.start_soon(run.count)
                    await run.index.died.wait()
                    nursery.cancel_scope.cancel()
        sent = world.counts()
        await check_all_sent_are_noted(world)
        unfinished = await world.saved_deliveries()
        last = (await world.index.read(lambda tx: tx.changes(limit=1))).last_seq
        async with process(world, hook(), lag_s=1) as run:
            await run.at_rest()

        assert world.seqs().keys() == set(range(1, last + 1))
        assert len(world.counts()) == len(set(world.keys()))
        # Only what was sent and whose job could not note it any more comes again, with the same identifier.
        repeated = {id for id, count in world.counts().items() if count > 1}
        assert repeated <= sent.keys() & unfinished
        jobs = Counter(name for name, _ in set(world.keys()) if name in JOB_EVENTS)
        assert jobs["JobSubmitted"] == jobs["JobSuccess"]


async def test_a_thousand_events_are_told_once_over_a_crash_in_the_middle(autojump_clock: MockClock) -> None:
    patient = hook(events=("NewStudy",), retry=WebhookRetry(max_attempts=100))
    async with open_world() as world:
        async with process(world, patient):
            pass
        async with process(world, patient, dies_at=900) as run:
            await run.started.wait()
            await run.change(1000)
            await run.index.died.wait()
        sent, unfinished = world.counts(), await world.saved_deliveries()
        assert 0 < len(sent) < 1000
        async with process(world, patient) as run:
            await world.until_told(1000)
            await run.at_rest()

        assert world.seqs().keys() == set(range(1, 1001))
        repeated = {id for id, count in world.counts().items() if count > 1}
        assert repeated <= sent.keys() & unfinished


async def check_all_sent_are_noted(world: World) -> None:
    """What was sent is never submitted again: at worst its saved job sends the same once more."""
    (name,) = [f"Webhook.{id}" for id in Hooks((hook(),)).all()]
    text = await world.index.read(lambda tx: tx.get_property(name))
    assert text is not None
    note = Handed.decode(text)
    for _, event in world.delivered:
        if "Change" in event:
            assert event["Change"]["Seq"] <= note.seq
        else:
            assert event["EventId"] in note.jobs


async def test_errors_of_the_index_delay_and_do_not_repeat(autojump_clock: MockClock) -> None:
    for fails in range(1, 8):
        async with open_world() as world, process(world, hook(events=("NewStudy",))) as run:
            await run.change(3)
            run.index.fails = fails
            await run.at_rest()
            await trio.sleep(60)

            assert set(world.seqs().values()) == {1}
            assert len(world.delivered) == 3


async def test_a_dead_receiver_leaves_its_changes_in_the_log(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "BATCH", 10)
    monkeypatch.setattr(webhooks, "MAX_UNDELIVERED", 20)
    patient = WebhookRetry(max_attempts=1000, delay=10, backoff=1)
    async with open_world() as world, process(world, hook(retry=patient)) as run:
        world.is_away = True
        await run.change(100)
        await trio.sleep(30)
        assert len(run.engine.records()) == 20

        world.is_away = False
        await world.until_told(100)
        assert set(world.seqs().values()) == {1}


async def test_changes_go_on_when_deliveries_are_given_up(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MAX_UNDELIVERED", 2)
    async with open_world() as world, process(world, hook(retry=WebhookRetry(max_attempts=1))) as run:
        world.is_away = True
        await run.change(6)
        await run.at_rest()

        failed = run.engine.records()
        assert len(failed) == 6
        assert {record.state for record in failed} == {JobState.FAILURE}


async def test_many_events_of_jobs_are_read_from_the_journal(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_receiver, "MAX_HEARD", 3)
    history = HistoryOptions(size=1000)
    async with open_world() as world, process(world, hook(events=JOB_EVENTS), history=history) as run:
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(run.count)
        await run.at_rest()

        assert world.told() == ["JobSubmitted"] * 20 + ["JobSuccess"] * 20


async def test_deliveries_push_no_job_of_a_user_out_of_the_history(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        webhook = hook(retry=WebhookRetry(max_attempts=1))
        async with process(world, webhook, history=HistoryOptions(size=2)) as run:
            for is_away in (False, True):
                world.is_away = is_away
                await run.count()
                await run.change(5)
                await run.at_rest()

            kinds = Counter(record.kind for record in run.engine.records())
            assert kinds == {"Count": 2, "Webhook": 2}


def receiver_of_all() -> Receiver:
    handed = Handed(seq=0, jobs_since=EPOCH).telling(hook().event_names, 0, EPOCH)
    return Receiver(SOURCE, "h", hook(), handed)


def page(*seqs: int, is_done: bool = True) -> ChangesPage:
    changes = (
        Change(seq=seq, type=ChangeType.NEW_STUDY, level=ResourceLevel.STUDY, id="s", date=EPOCH)
        for seq in seqs
    )
    return ChangesPage(changes=tuple(changes), is_done=is_done, last_seq=seqs[-1])


def test_what_was_submitted_before_an_error_is_noted_even_if_others_before_it_were_not() -> None:
    receiver = receiver_of_all()
    first, missing, second = receiver.next_changes(page(1, 2, 3))
    receiver.submitted = {delivery.id: delivery for delivery in (first, second)}

    note = receiver.note([first], EPOCH)
    released = receiver.hand_over(note)

    assert released == [first, second]
    assert [note.covers(each) for each in (first, missing, second)] == [True, False, True]
    assert receiver.next_changes(page(2, 3)) == [missing]
    assert receiver.note([missing, second], EPOCH).ahead == ()


def test_the_end_of_a_job_may_become_known_late() -> None:
    receiver = receiver_of_all()
    end = EPOCH + timedelta(seconds=100)
    early, late = (
        make_record(
            id=name, state=JobState.SUCCESS, created=EPOCH - timedelta(1), changed=end - timedelta(seconds=s)
        )
        for name, s in (("early", 0), ("late", 9))
    )
    receiver.hear("JobSuccess", early)
    told = receiver.next_jobs(10)
    receiver.submitted = {delivery.id: delivery for delivery in told}

    receiver.hand_over(receiver.note(told, end))
    assert not receiver.has_heard
    for record in (early, late):
        receiver.recall(record)

    assert [delivery.subject for delivery in receiver.next_jobs(10)] == ["late"]
    assert receiver.note([], end + timedelta(hours=1)).jobs_since == late.changed


async def test_a_clock_that_is_set_back_repeats_nothing() -> None:
    note = Handed(seq=0, jobs_since=EPOCH).telling(JOB_EVENTS, 0, EPOCH)
    event = job_event(SOURCE, "JobSuccess", make_record(changed=EPOCH + timedelta(seconds=50)))

    later = note.after([event], EPOCH + timedelta(seconds=100))
    earlier = later.after([], EPOCH)

    assert later.covers(event)
    assert earlier == later


async def test_without_receivers_nothing_is_done() -> None:
    async with open_world() as world, process(world) as run:
        await run.change()
        await wait_all_tasks_blocked()

        assert await world.index.read(lambda tx: tx.get_property("WebhooksSource")) is None


def test_deliveries_take_no_slots_and_hosts_do_not_wait_for_each_other() -> None:
    receivers = tuple(hook(url) for url in ("http://a/1", "http://a/2", "http://b/"))

    options = engine_options(Settings(webhooks=receivers, jobs_limits=JobsLimits(destinations={"b": 1})))

    assert options.slotless == {"Webhook"}
    assert options.limits.types == {"Webhook": 8}
    assert options.limits.destinations == {"a": 4, "b": 1}
