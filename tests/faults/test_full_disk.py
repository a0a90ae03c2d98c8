"""A full disk and an unwritable folder: uploads are refused with the reason, and the server goes on."""

from pathlib import Path

import pytest

from tests.support.dicom import make_instance
from tests.support.server import running_server, stored_files

# A file system of 12 MB of the server's own; a user namespace makes it possible without being root.
SMALL_DISK = (
    "unshare",
    "--map-root-user",
    "--mount",
    "sh",
    "-c",
    'mkdir -p storage && mount -t tmpfs -o size=12m tmpfs storage && exec "$@"',
    "sh",
)


@pytest.mark.time_limit(60)
def test_a_full_disk_refuses_uploads_with_the_reason_and_the_server_goes_on(tmp_path: Path) -> None:
    with running_server(tmp_path, prefix=SMALL_DISK) as server:
        statuses = []
        for number in range(60):
            data = make_instance(instance=number + 1, rows=512, columns=512)
            statuses.append(server.post("/instances", data))
            if statuses[-1].status != 200:
                break
        refused = statuses[-1]
        assert refused.status in (500, 507)
        assert refused.json()["Message"]
        stored = len(statuses) - 1
        assert server.get("/statistics").json()["CountInstances"] == stored
        some = server.get("/instances").json()[0]
        assert server.request("DELETE", f"/instances/{some}").status == 200
        assert server.get("/statistics").json()["CountInstances"] == stored - 1


def test_an_unwritable_folder_refuses_uploads_and_leaves_nothing(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        incoming = server.storage / "incoming"
        incoming.rename(server.storage / "away")  # even root cannot write into a folder that is not there
        reply = server.post("/instances", make_instance())
        assert reply.status == 500
        assert reply.json()["Details"]
        assert server.get("/instances").json() == []
        (server.storage / "away").rename(incoming)
        assert server.post("/instances", make_instance()).json()["Status"] == "Success"
        assert stored_files(server) == {server.get("/instances?expand").json()[0]["FileUuid"]}
