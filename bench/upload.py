"""Question: how many instances per second does `POST /instances` store?"""

from typing import Any

from .data import Data, Instances
from .failure import require
from .load import check_count, on_connections, upload
from .question import Better, Question, Sample
from .server import Server

_WARM_UP = 10
_EVERY_CHECKED = 50


def _case(name: str, connections: int, *, sync: bool, is_compressed: bool = False) -> Question:
    durability = "fsync" if sync else "no fsync"
    form = ", stored compressed" if is_compressed else ""
    label = f"upload {name}, {on_connections(connections)}, {durability}{form}"

    def measure(server: Server, data: Data, _prepared: Any) -> list[Sample]:
        instances: Instances = getattr(data, name)
        files = instances.files[_WARM_UP:]
        before_s = server.cpu_s()
        elapsed_s, ids = upload(server, files, connections)
        cpu_s = server.cpu_s() - before_s
        _check(server, instances, ids)
        expected = 1.0 if connections <= 4 else None
        return [
            Sample(label, "instances/s", len(files) / elapsed_s, expected=expected),
            Sample(f"{label}: server CPU", "ms/instance", 1000 * cpu_s / len(files), Better.LOWER),
        ]

    return Question(
        name=f"upload/{name}/{connections}/{'sync' if sync else 'nosync'}{'/compressed' * is_compressed}",
        prepare=lambda server, data: upload(server, getattr(data, name).files[:_WARM_UP], 1),
        measure=measure,
        settings={"SyncStorageArea": sync, "StorageCompression": is_compressed},
        fresh=True,
    )


def _check(server: Server, instances: Instances, ids: list[str]) -> None:
    """Require that all instances are counted and that some are read back byte for byte."""
    check_count(server, len(instances.files))
    sent = set(instances.files)
    with server.connect() as connection:
        for id in ids[::_EVERY_CHECKED]:
            require(
                bytes(connection.get(f"/instances/{id}/file")) in sent, f"instance {id} came back changed"
            )


QUESTIONS = [
    _case(name, connections, sync=sync)
    for name in ("ct", "small")
    for sync in (True, False)
    for connections in (1, 4, 8)
] + [_case("ct", 4, sync=True, is_compressed=True)]
