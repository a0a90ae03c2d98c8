"""What a server that starts does not load: each of these costs memory that many servers never need."""

import subprocess
import sys

LATE = ("numpy", "pydicom", "PIL", "quart", "flask", "werkzeug", "jinja2", "httpx", "hypercorn")
SCRIPT = """
import sys
from orthanc_trio.rest.routes import discover
import orthanc_trio.cli, orthanc_trio.server, orthanc_trio.kinds
list(discover())
print(*(name for name in sys.argv[1:] if name in sys.modules))
"""


def test_large_libraries_are_loaded_when_they_are_needed() -> None:
    command = [sys.executable, "-c", SCRIPT, *LATE]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []
