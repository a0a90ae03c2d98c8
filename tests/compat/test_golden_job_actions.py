"""Every action on a job in every state is answered as Orthanc 1.13.0 answers it, recorded once.

Two things are better on purpose: where Orthanc refuses with an empty body, ours says why; and an archive that
failed can be resubmitted, which Orthanc refuses.
"""

import json
from typing import Any

import pytest

from orthanc_trio.jobs.attempt import AnyOutcome
from orthanc_trio.model.job import JobState, RetryAfter
from tests.support.http import Reply, request_bytes
from tests.support.jobs import Context, CountCursor, CountKind, Gate
from tests.support.jobs_door import JobsDoor, jobs_door

from .conftest import GOLDEN

RECORDED: dict[str, Any] = json.loads((GOLDEN / "job_actions.json").read_text())
OF_STATES = RECORDED["ResourceModification"]
OF_RETRY = {
    "cancel": {"status": 200, "after": "Failure", "body": {}},
    "pause": {"status": 200, "after": "Paused", "body": {}},
    "resume": {"status": 400, "after": "Retry"},
    "resubmit": {"status": 200, "after": "Running", "body": {}},
    "DELETE": {"status": 200, "after": None},
}
"""Orthanc has no job that comes into this state; clients take it for an end, so a deletion works in it."""
CASES = [
    (state, action, expected)
    for state, actions in (OF_STATES | {"Retry": OF_RETRY}).items()
    for action, expected in actions.items()
]
REACHED_BY = {"Paused": "pause", "Failure": "cancel"}
RUNS_AT_ONCE = {"Pending": "Running"}
"""The recorded jobs had to wait for another one; ours finds a free slot."""


class Steps:
    """Ends the steps as the state asks for: at the gate, with success, or to be tried again."""

    def __init__(self, state: str) -> None:
        self._state = state
        self.gate = Gate()

    async def __call__(self, context: Context, position: int) -> AnyOutcome | None:
        if self._state == "Success":
            return None
        if self._state == "Retry" and not self.gate.waiting:
            self._state = "Running"
            return RetryAfter(1000, CountCursor(0))
        await self.gate(context, position)
        return None


async def brought_to(state: str, door: JobsDoor) -> str:
    engine = door.rig.engine
    if state in ("Pending", "Paused", "Failure"):
        await engine.hold(type="Count")
    record = await door.submit(2)
    if state in REACHED_BY:
        await door.post(f"/jobs/{record.id}/{REACHED_BY[state]}")
        await engine.release(type="Count")
    await door.rig.until_state(record.id, JobState(state))
    return record.id


def state_of(door: JobsDoor, job_id: str) -> str | None:
    record = door.rig.engine.get(job_id)
    return None if record is None else record.state.value


async def act(action: str, door: JobsDoor, job_id: str) -> Reply:
    async with door.server.client() as client:
        if action == "DELETE":
            await client.send(request_bytes("DELETE", f"/jobs/{job_id}"))
            return await client.read_reply()
        return await client.post(f"/jobs/{job_id}/{action}", b"")


def check(reply: Reply, expected: dict[str, Any], job_id: str) -> None:
    assert reply.status == expected["status"]
    recorded = expected.get("body")
    if recorded == {}:
        assert reply.body == b"{}"
    elif recorded is not None:
        told = json.loads(reply.body)
        assert told["OrthancStatus"] == recorded["OrthancStatus"]
        assert told["Details"] == recorded["Details"].replace("<id>", job_id)
    elif reply.status == 200:
        assert reply.body == b""
    else:
        assert json.loads(reply.body)["Details"]


@pytest.mark.parametrize(("state", "action", "expected"), CASES)
async def test_an_action_is_answered_as_recorded(state: str, action: str, expected: dict[str, Any]) -> None:
    steps = Steps(state)
    async with jobs_door(CountKind(steps)) as door:
        job_id = await brought_to(state, door)
        check(await act(action, door, job_id), expected, job_id)
        if expected["after"] is None:
            assert door.rig.engine.get(job_id) is None
        else:
            # As in Orthanc, a running job stops a moment after the answer, or pauses after its step.
            if (state, action) == ("Running", "pause"):
                steps.gate.open()
            allowed = {expected["after"], RUNS_AT_ONCE.get(expected["after"])}
            await door.rig.until(lambda: state_of(door, job_id) in allowed)
        await door.rig.engine.cancel(job_id)


@pytest.mark.parametrize("action", RECORDED["unknown"])
async def test_an_action_on_an_unknown_job_is_answered_as_recorded(action: str) -> None:
    async with jobs_door() as door:
        check(await act(action, door, "nope"), RECORDED["unknown"][action], "nope")
