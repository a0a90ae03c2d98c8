"""The files of the web interface Orthanc Explorer 2, and what it is told at its start.

All files are read once, when the server starts: a request chooses among them and can reach no other.
Source: what the page asks for, `GET /ui/api/configuration` and its like.
"""

import hashlib
import logging
import mimetypes
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from ..config.explorer import ExplorerOptions
from ..config.syntax import decode
from ..model.errors import BadFileFormat

INDEX: Final = "index.html"
_MOST_FILES: Final = 10_000
_MOST_BYTES: Final = 256 << 20
_MEDIA_TYPES: Final = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".html": "text/html",
    ".json": "application/json",
    ".map": "application/json",
    ".svg": "image/svg+xml",
    ".ico": "image/x-icon",
    ".png": "image/png",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".ttf": "font/ttf",
    ".wasm": "application/wasm",
}

_UI_OPTIONS: Final[Mapping[str, Any]] = {
    "StudyListColumns": [
        "PatientBirthDate",
        "PatientName",
        "PatientID",
        "StudyDescription",
        "StudyDate",
        "AccessionNumber",
    ],
    "EnableUpload": True,
    "EnableAddSeries": True,
    "EnableDeleteResources": True,
    "EnableModification": True,
    "EnableAnonymization": True,
    "EnableEditLabels": True,
    "EnablePermissionsEdition": False,
    "EnableAuditLogs": False,
    "EnableLinkToLegacyUi": False,
    "EnableOpenInOhifViewer3": False,
    "EnableSharesByEmail": False,
}
"""What the page needs, and which of its features this server has."""

_WRITING: Final = (
    "EnableUpload",
    "EnableAddSeries",
    "EnableDeleteResources",
    "EnableModification",
    "EnableAnonymization",
    "EnableEditLabels",
    "EnablePermissionsEdition",
)
_TOKENS: Final = {"InstantLinksValidity": 0, "RequiredForLinks": False, "ShareType": ""}

_logger = logging.getLogger(__name__)


class SiteFile(Struct, frozen=True):
    """One file of the page."""

    body: bytes
    media_type: str
    etag: str
    """What tells this content from any other."""


def _made(body: bytes, media_type: str) -> SiteFile:
    return SiteFile(body, media_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


class Explorer(Struct, frozen=True, kw_only=True):
    """The page of one server."""

    files: Mapping[str, SiteFile]
    """By their path below the folder."""
    css: SiteFile
    logo: SiteFile | None
    is_default: bool
    configuration: bytes
    """The JSON of `GET /ui/api/configuration`."""


def load_explorer(options: ExplorerOptions | None, *, is_read_only: bool) -> Explorer | None:
    """Read the page; None without one. Blocks.

    Raises BadFileFormat if it cannot be read, or is too large for memory.
    """
    if options is None or not options.enable or options.root is None:
        return None
    if not (options.root / INDEX).is_file():
        _logger.warning("OrthancExplorer2: there is no %s in the folder Root", INDEX)
        return None
    try:
        files = dict(_site_files(options.root))
        css = _style_sheet(files, options)
        logo = None if options.custom_logo_path is None else _site_file(options.custom_logo_path)
        configuration = msgspec.json.encode(_configuration(options, is_read_only=is_read_only))
    except OSError as error:
        raise BadFileFormat(f"OrthancExplorer2: {error.filename}: {error.strerror}") from error
    files[INDEX] = _themed(files[INDEX], options)
    return Explorer(
        files=files,
        css=css,
        logo=logo,
        is_default=options.is_default_orthanc_ui,
        configuration=configuration,
    )


def _site_files(root: Path) -> Iterator[tuple[str, SiteFile]]:
    """Yield the files below a folder; links that lead out of it are passed over."""
    room, top = _MOST_BYTES, root.resolve()
    paths = [Path(folder) / name for folder, _, names in os.walk(root) for name in names]
    if len(paths) > _MOST_FILES:
        raise BadFileFormat("OrthancExplorer2: too many files in the folder Root")
    for path in paths:
        if not path.is_file() or not path.resolve().is_relative_to(top):
            continue
        room -= path.stat().st_size
        if room < 0:
            raise BadFileFormat("OrthancExplorer2: the files in the folder Root are too large")
        yield path.relative_to(root).as_posix(), _site_file(path)


def _site_file(path: Path) -> SiteFile:
    known = _MEDIA_TYPES.get(path.suffix.lower()) or mimetypes.guess_type(path.name)[0]
    return _made(path.read_bytes(), known or "application/octet-stream")


def _style_sheet(files: Mapping[str, SiteFile], options: ExplorerOptions) -> SiteFile:
    """Return the colours of the theme, wherever they are in the folder, and what the configuration adds."""
    name = f"defaults-{options.theme.value}.css"
    parts = [file.body for path, file in sorted(files.items()) if path.rpartition("/")[2] == name]
    if options.custom_css_path is not None:
        parts.append(options.custom_css_path.read_bytes())
    return _made(b"\n".join(parts), "text/css")


def _themed(index: SiteFile, options: ExplorerOptions) -> SiteFile:
    theme = b'data-bs-theme="%s"' % options.theme.value.encode()
    return _made(index.body.replace(b'data-bs-theme="light"', theme), index.media_type)


def _configuration(options: ExplorerOptions, *, is_read_only: bool) -> dict[str, Any]:
    ui_options = _merged(_UI_OPTIONS, _given_defaults(options.default_configuration))
    ui_options = _merged(ui_options, options.ui_options)
    if is_read_only:
        ui_options |= dict.fromkeys(_WRITING, False)
    has_logo = options.custom_logo_path is not None or options.custom_logo_url is not None
    optional = {"CustomLogoUrl": options.custom_logo_url, "CustomTitle": options.custom_title}
    return {
        "AdvancedOptions": options.advanced_options,
        "HasCustomLogo": has_logo,
        "Keycloak": None,
        "Plugins": {},
        "Tokens": _merged(_TOKENS, options.tokens),
        "UiOptions": ui_options,
        **{name: value for name, value in optional.items() if value is not None},
    }


def _given_defaults(path: Path | None) -> Mapping[str, Any]:
    """Return the `UiOptions` of a configuration file of the page."""
    if path is None:
        return {}
    values = decode(path.read_text("utf-8"), {}).values
    section = values.get("OrthancExplorer2", values)
    found = section.get("UiOptions", {}) if isinstance(section, dict) else {}
    return found if isinstance(found, dict) else {}


def _merged(defaults: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults with the values in their place; objects are merged in turn."""
    merged = dict(defaults)
    for name, value in values.items():
        known = merged.get(name)
        is_inner = isinstance(known, dict) and isinstance(value, dict)
        merged[name] = _merged(known or {}, value) if is_inner else value
    return merged
