"""What the tests of archives share."""

import pytest

from orthanc_trio.kinds import archive_step


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let steps be so small that few bytes make several."""
    monkeypatch.setattr(archive_step, "STEP_BYTES", 32 << 20)
