"""The web page, with a folder that stands for built files. Expected is what Orthanc Explorer 2 asks for."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orthanc_trio.config.explorer import ExplorerOptions, Theme
from orthanc_trio.model.errors import BadFileFormat
from orthanc_trio.services.explorer import load_explorer
from tests.support.server import Server, running_server

INDEX = b'<html data-bs-theme="light"><script src="./assets/index-1.js"></script></html>'
SECRET = b"not for the web"


def build(folder: Path) -> Path:
    """Make a folder of built files, with a link that leads out of it."""
    site = folder / "site"
    (site / "assets").mkdir(parents=True)
    (site / "index.html").write_bytes(INDEX)
    (site / "favicon.ico").write_bytes(b"icon")
    (site / "assets" / "index-1.js").write_bytes(b"let a = 1;\n" * 500)
    (site / "assets" / "font.woff2").write_bytes(b"font")
    (site / "assets" / "defaults-light.css").write_bytes(b":root{--a:1}")
    (site / "assets" / "defaults-dark.css").write_bytes(b":root{--a:2}")
    (folder / "secret.txt").write_bytes(SECRET)
    (site / "link.txt").symlink_to(folder / "secret.txt")
    (folder / "mine.css").write_bytes(b".mine{}")
    return site


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("explorer")
    build(folder)
    options = {"Root": "site", "CustomCssPath": "mine.css", "UiOptions": {"EnableUpload": False, "Own": 1}}
    with running_server(folder, OrthancExplorer2=options, HttpCompressionEnabled=True) as server:
        yield server


@pytest.mark.parametrize(
    "path", ["/ui/app", "/ui/app/", "/ui/app/index.html", "/ui/app/filtered-studies?a=b"]
)
def test_the_start_page_is_where_the_history_router_wants_it(server: Server, path: str) -> None:
    reply = server.get(path)
    assert (reply.status, reply.headers["Content-Type"], reply.body) == (200, "text/html", INDEX)


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("assets/index-1.js", "text/javascript"),
        ("assets/font.woff2", "font/woff2"),
        ("favicon.ico", "image/x-icon"),
        ("customizable/custom.css?theme=1", "text/css"),
    ],
)
def test_files_have_their_media_type_and_an_etag(server: Server, path: str, media_type: str) -> None:
    reply = server.get(f"/ui/app/{path}")
    assert (reply.status, reply.headers["Content-Type"]) == (200, media_type)
    assert reply.headers["Cache-Control"] == "no-cache"
    again = server.request("GET", f"/ui/app/{path}", headers={"If-None-Match": reply.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")


def test_scripts_are_compressed(server: Server) -> None:
    reply = server.request("GET", "/ui/app/assets/index-1.js", headers={"Accept-Encoding": "gzip"})
    assert reply.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(reply.body) == b"let a = 1;\n" * 500


def test_the_style_sheet_is_the_theme_and_what_was_added(server: Server) -> None:
    assert server.get("/ui/app/customizable/custom.css").body == b":root{--a:1}\n.mine{}"


@pytest.mark.parametrize(
    "path",
    [
        "/ui/app/../../secret.txt",
        "/ui/app/%2e%2e/secret.txt",
        "/ui/app/..%2fsecret.txt",
        "/ui/app/assets/%2e%2e/%2e%2e/secret.txt",
        "/ui/app//secret.txt",
        "/ui/app/link.txt",
        "/ui/app/%00",
        "/ui/app/assets/nothing.js",
        "/ui/app/customizable/custom-logo",
    ],
)
def test_nothing_else_can_be_reached(server: Server, path: str) -> None:
    reply = server.get(path)
    assert reply.status in (200, 400, 404)
    assert reply.body in (INDEX, b"") or reply.json()["OrthancStatus"] == 17


def test_roots_lead_to_the_page(server: Server) -> None:
    for path, location in (("/", "ui/app/"), ("/favicon.ico", "ui/app/favicon.ico")):
        reply = server.get(path)
        assert (reply.status, reply.headers["Location"], reply.body) == (307, location, b"")
    assert b"ui/app/" in server.get("/app/explorer.html").body
    assert (server.get("/app/images/x.png").status, server.get("/app").status) == (404, 404)


def test_the_page_is_told_its_configuration(server: Server) -> None:
    assert server.get("/ui/api/pre-login-configuration").json() == {
        "Inbox": None,
        "Keycloak": None,
        "TokensLandingOptions": None,
    }
    told = server.get("/ui/api/configuration").json()
    assert told["Plugins"] == {}
    assert told["Keycloak"] is None
    assert told["HasCustomLogo"] is False
    assert set(told["Tokens"]) == {"InstantLinksValidity", "RequiredForLinks", "ShareType"}
    assert "PatientName" in told["UiOptions"]["StudyListColumns"]
    assert (told["UiOptions"]["EnableUpload"], told["UiOptions"]["Own"]) == (False, 1)
    assert told["UiOptions"]["EnableDeleteResources"] is True


def test_without_the_option_there_is_a_plain_page(tmp_path: Path) -> None:
    with running_server(tmp_path, Name="<b>") as server:
        assert server.get("/").headers["Location"] == "app/explorer.html"
        assert b"<h1>&lt;b&gt;</h1>" in server.get("/app/explorer.html").body
        assert server.get("/ui/app/").status == server.get("/ui/api/configuration").status == 404


# What is told


def told(**options: Any) -> dict[str, Any]:
    is_read_only = options.pop("is_read_only", False)
    explorer = load_explorer(ExplorerOptions(**options), is_read_only=is_read_only)
    assert explorer is not None
    value: dict[str, Any] = json.loads(explorer.configuration)
    return value


def test_a_read_only_server_offers_no_changes(tmp_path: Path) -> None:
    shown = told(root=build(tmp_path), ui_options={"EnableUpload": True}, is_read_only=True)["UiOptions"]
    assert not any(shown[name] for name in ("EnableUpload", "EnableModification", "EnableEditLabels"))


def test_defaults_may_come_from_the_configuration_of_the_page(tmp_path: Path) -> None:
    defaults = tmp_path / "defaults.json"
    defaults.write_text('{"OrthancExplorer2": {"UiOptions": {"A": {"b": 1, "c": 2}, /* x */ "D": 3,},},}')
    shown = told(root=build(tmp_path), default_configuration=defaults, ui_options={"A": {"c": 4}})[
        "UiOptions"
    ]
    assert (shown["A"], shown["D"]) == ({"b": 1, "c": 4}, 3)


def test_the_dark_theme_is_in_the_start_page_and_in_the_colours(tmp_path: Path) -> None:
    explorer = load_explorer(ExplorerOptions(root=build(tmp_path), theme=Theme.DARK), is_read_only=False)
    assert explorer is not None
    assert b'data-bs-theme="dark"' in explorer.files["index.html"].body
    assert explorer.css.body == b":root{--a:2}"


def test_a_folder_without_a_start_page_is_no_page(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert load_explorer(ExplorerOptions(root=Path("/ui/")), is_read_only=False) is None
    assert "index.html" in caplog.text
    assert load_explorer(None, is_read_only=False) is None
    assert load_explorer(ExplorerOptions(root=build(tmp_path), enable=False), is_read_only=False) is None


def test_files_that_cannot_be_read_stop_the_start(tmp_path: Path) -> None:
    options = ExplorerOptions(root=build(tmp_path), custom_logo_path=tmp_path / "nothing.png")
    with pytest.raises(BadFileFormat, match=r"nothing\.png"):
        load_explorer(options, is_read_only=False)
