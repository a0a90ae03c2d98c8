"""Jobs that are stuck, on a peer that accepts and never answers or in a process, are cancelled at once."""

import time
from functools import partial

import trio
from trio.testing import wait_all_tasks_blocked

from orthanc_trio.jobs.attempt import AnyOutcome
from orthanc_trio.jobs.options import Limits
from orthanc_trio.model.error_code import ErrorCode
from orthanc_trio.model.job import JobFault, JobState
from orthanc_trio.workers import open_workers
from tests.support.jobs import Context, CountArgs, CountKind, running_engine

CANCELED = JobFault(code=ErrorCode.CANCELED_JOB)


class BlackHole:
    """A TCP peer that accepts connections, reads nothing and answers nothing."""

    def __init__(self) -> None:
        self.connections = 0
        self._filled = trio.Event()
        self._expected = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        if self.connections == self._expected:
            self._filled.set()
        await trio.sleep_forever()

    async def hold(self, connections: int) -> None:
        """Wait until so many connections hang."""
        self._expected = connections
        if self.connections < connections:
            await self._filled.wait()


class StuckKind(CountKind):
    """Asks a peer and waits for its answer."""

    name = "Stuck"

    def __init__(self, port: int) -> None:
        super().__init__(self._ask)
        self.port = port

    async def _ask(self, context: Context, position: int) -> AnyOutcome | None:
        async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
            await stream.send_all(b"?")
            await stream.receive_some()
        return None


async def test_a_hundred_jobs_stuck_on_a_peer_are_cancelled_while_others_go_on() -> None:
    peer, quick = BlackHole(), CountKind()
    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, peer.serve, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        limits = Limits(destinations={"hole": 100})
        async with running_engine(
            StuckKind(port), quick, concurrent_jobs=102, history_size=1000, limits=limits
        ) as rig:
            engine = rig.engine
            args = CountArgs(destination="hole")
            stuck = [(await engine.submit("Stuck", args)).id for _ in range(110)]
            await peer.hold(100)
            assert engine.slots.borrowed_tokens == 100

            others = [(await engine.submit("Count", CountArgs())).id for _ in range(20)]
            begin = time.perf_counter()
            assert all(await engine.for_each(engine.cancel, reversed(stuck)))
            for job_id in stuck:
                assert (await engine.wait(job_id)).fault == CANCELED
            assert time.perf_counter() - begin < 5
            for job_id in others:
                assert (await engine.wait(job_id)).state is JobState.SUCCESS
            await wait_all_tasks_blocked()
            assert engine.slots.borrowed_tokens == 0
        nursery.cancel_scope.cancel()


def free() -> None:
    pass


def loop_forever() -> None:
    while True:
        pass


async def test_a_job_stuck_in_a_process_is_cancelled_and_the_process_replaced() -> None:
    async def step(context: Context, position: int) -> None:
        await context.in_worker(loop_forever if context.job_id in stuck else free)

    stuck: set[str] = set()
    async with open_workers(1) as workers:
        await workers.run(abs, -1)  # the process is there
        kind = CountKind(step)
        async with running_engine(kind, concurrent_jobs=1, in_worker=workers.run) as rig:
            record = await rig.engine.submit("Count", CountArgs())
            stuck.add(record.id)
            await trio.sleep(0.05)  # let the process begin to loop: nothing tells of that
            begin = time.perf_counter()
            await rig.engine.cancel(record.id)
            assert (await rig.engine.wait(record.id)).fault == CANCELED
            after = await rig.engine.submit("Count", CountArgs())
            assert (await rig.engine.wait(after.id)).state is JobState.SUCCESS
            assert time.perf_counter() - begin < 5


async def test_a_job_that_hangs_in_its_removal_gives_its_slot_back() -> None:
    class Hanging(CountKind):
        async def discard(self, context: Context, args: CountArgs) -> None:
            await trio.sleep_forever()

    async with running_engine(Hanging(_hang), concurrent_jobs=1, cancel_timeout_s=0.05) as rig:
        record = await rig.engine.submit("Count", CountArgs())
        await wait_all_tasks_blocked()
        await rig.engine.cancel(record.id)
        assert (await rig.engine.wait(record.id)).fault == CANCELED
        await rig.until_ended(record.id)


async def _hang(context: Context, position: int) -> None:
    await trio.sleep_forever()
