"""One websocket subscriber that reads every message with a real library: `python -m bench.witness PORT`.

It prints a line after the snapshot. When its standard input ends, it prints what it has seen, and how many
milliseconds after their `Timestamp` the messages about jobs came, and ends.
"""

import sys
import time
from collections import Counter

import msgspec
import trio
from msgspec import Struct
from trio_websocket import WebSocketConnection, open_websocket_url

from .failure import require
from .timestamp import seconds_of

_END_S = 60.0


class Report(Struct, frozen=True):
    """What was seen, by type, and the lags of the messages about jobs."""

    seen: dict[str, int]
    lags_ms: list[float]


async def _watch(port: int) -> None:
    seen: Counter[str] = Counter()
    lags_ms: list[float] = []
    async with (
        open_websocket_url(f"ws://127.0.0.1:{port}/events") as websocket,
        trio.open_nursery() as nursery,
    ):
        snapshot = msgspec.json.decode(await websocket.get_message())
        require(snapshot["Type"] == "Snapshot" and "Jobs" in snapshot, f"no snapshot came first: {snapshot}")
        print("{}", flush=True)
        nursery.start_soon(_count, websocket, seen, lags_ms)
        await trio.lowlevel.wait_readable(sys.stdin)
        nursery.cancel_scope.cancel()
    print(msgspec.json.encode(Report(seen, lags_ms)).decode(), flush=True)


async def _count(websocket: WebSocketConnection, seen: Counter[str], lags_ms: list[float]) -> None:
    """Count the messages by type; of the changes, count the new instances apart."""
    while True:
        message = msgspec.json.decode(await websocket.get_message())
        seen[message["Type"]] += 1
        if message["Type"] == "Job":
            lags_ms.append(1000 * (time.time() - seconds_of(message["Job"]["Timestamp"])))
        if message["Type"] == "Change" and message["Change"]["ChangeType"] == "NewInstance":
            seen["NewInstance"] += 1


if __name__ == "__main__":
    trio.run(_watch, int(sys.argv[1]))
