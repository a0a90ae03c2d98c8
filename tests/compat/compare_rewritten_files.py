"""Compare, or record, what a running Orthanc makes of the files that come with pydicom.

    python -m tests.compat.compare_rewritten_files http://localhost:8042
    python -m tests.compat.compare_rewritten_files http://localhost:8042 --record

The server is to be empty, and is emptied again; files that it has already are passed over. The requests are
those of the recorded file; to record others, change them there. Differences that are deliberate are listed in
`test_golden_rewritten_files.py`.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from .conftest import FILES, GOLDEN
from .test_golden_rewritten_files import PIXELS, RECORDED, changes, rewriter

Changes = dict[str, str | None]


def made_by_server(client: httpx.Client) -> Iterator[tuple[Path, str, Changes]]:
    """Yield what each request changes in each file that the server stores."""
    for path in sorted(FILES.rglob("*.dcm")):
        data = path.read_bytes()
        stored = client.post("/instances", content=data)
        if stored.is_error or stored.json()["Status"] != "Success":
            continue
        instance = f"/instances/{stored.json()['ID']}"
        for name, (kind, body) in RECORDED["requests"].items():
            answer = client.post(f"{instance}/{kind}", json=body).raise_for_status()
            found = changes(data, answer.content)
            found.pop(PIXELS, None)
            yield path.relative_to(FILES), name, found
        client.delete(instance)


def record(client: httpx.Client) -> None:
    recorded: dict[str, dict[str, Changes]] = {}
    for path, name, found in made_by_server(client):
        recorded.setdefault(str(path), {})[name] = found
    whole = {"requests": RECORDED["requests"], "changes": recorded}
    (GOLDEN / "rewritten_files.json").write_text(json.dumps(whole, indent=0, sort_keys=True))


def compare(client: httpx.Client) -> int:
    """Print what differs, and return how many results do."""
    different = 0
    for path, name, theirs in made_by_server(client):
        data = (FILES / path).read_bytes()
        kind, body = RECORDED["requests"][name]
        ours = changes(data, rewriter(kind, body).rewrite(data).whole(data))
        tags = sorted(tag for tag in ours.keys() | theirs.keys() if _said(ours, tag) != _said(theirs, tag))
        different += bool(tags)
        for tag in tags:
            sys.stdout.write(f"{path}, {name}, {tag}: {_said(theirs, tag)!r}, ours {_said(ours, tag)!r}\n")
    return different


def _said(found: Changes, tag: str) -> Any:
    return found.get(tag, "unchanged")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--record", action="store_true", help="write the golden file instead of comparing")
    arguments = parser.parse_args()
    with httpx.Client(base_url=arguments.url, timeout=60) as client:
        if arguments.record:
            record(client)
            return 0
        return int(compare(client) > 0)


if __name__ == "__main__":
    sys.exit(main())
