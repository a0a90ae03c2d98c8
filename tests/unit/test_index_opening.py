import subprocess
import sys

import trio.testing

from orthanc_trio.index.memory import open_memory_index
from tests.contract.forest import store_all

CHOOSE_MEMORY = """
import sys
from pathlib import Path
from orthanc_trio.config.choice import IndexBackend
from orthanc_trio.index.opening import open_index

open_index(IndexBackend.MEMORY, Path("never"))
assert not [name for name in sys.modules if "sqlite" in name]
"""


def test_a_backend_that_is_not_chosen_is_not_imported() -> None:
    subprocess.run([sys.executable, "-c", CHOOSE_MEMORY], check=True, timeout=10)


async def test_the_memory_backend_works_on_a_clock_that_jumps(autojump_clock: trio.testing.MockClock) -> None:
    async with open_memory_index() as index:
        await index.write(store_all("p/s/e/i"))
        await trio.sleep(3600)
        assert await index.read(lambda tx: tx.find("i"))


async def test_each_memory_index_is_its_own() -> None:
    async with open_memory_index() as one, open_memory_index() as other:
        await one.write(store_all("p"))
        assert await other.read(lambda tx: tx.find("p")) is None
