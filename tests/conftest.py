"""Rules for all tests: coroutine tests run in Trio, and every test has an absolute time limit.

`@pytest.mark.time_limit(seconds)` lifts the limit of the few tests that need more. A test that takes a
fixture `autojump_clock` runs on a clock that jumps when all tasks wait; only with memory backends. A test
that blocks the event loop is ended by `faulthandler_timeout` in pyproject.toml, with a dump of all threads.
"""

import inspect
from functools import partial

import pytest
import trio
import trio.testing

TIME_LIMIT_S = 10.0


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "time_limit(seconds): the time after which the test is hung")


def _limit_s(item: pytest.Item) -> float:
    marker = item.get_closest_marker("time_limit")
    return float(marker.args[0]) if marker else TIME_LIMIT_S


@pytest.fixture
def autojump_clock() -> trio.testing.MockClock:
    return trio.testing.MockClock(autojump_threshold=0)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    clock = next((a for a in arguments.values() if isinstance(a, trio.testing.MockClock)), None)
    limit_s = _limit_s(pyfuncitem) if clock is None else float("inf")

    async def main() -> None:
        with trio.fail_after(limit_s):
            await partial(pyfuncitem.obj, **arguments)()

    trio.run(main, clock=clock)
    return True
