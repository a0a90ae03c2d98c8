"""The option `OrthancExplorer2`: the web interface of that name, which is installed apart.

Members that are not known here are ignored, so that the section of a stock configuration can stay.
"""

from enum import StrEnum
from pathlib import Path
from typing import Any

from msgspec import Struct, field


class Theme(StrEnum):
    """The colours of the page."""

    LIGHT = "light"
    DARK = "dark"


class ExplorerOptions(Struct, frozen=True, kw_only=True, rename="pascal"):
    """Where the page is, and what it is told."""

    enable: bool = True
    root: Path | None = None
    """The folder with its built files. None, or a folder without `index.html`: there is no page."""
    is_default_orthanc_ui: bool = field(default=True, name="IsDefaultOrthancUI")
    """Whether `/` leads to it."""
    theme: Theme = Theme.LIGHT
    custom_css_path: Path | None = None
    """A file that is added to the style sheet of the theme."""
    custom_logo_path: Path | None = None
    custom_logo_url: str | None = None
    custom_title: str | None = None
    ui_options: dict[str, Any] = field(default_factory=dict)
    """Go before those of this server, member by member."""
    default_configuration: Path | None = None
    """A configuration file of the page, whose `UiOptions` go before those of this server as well."""
    tokens: dict[str, Any] = field(default_factory=dict)
    advanced_options: dict[str, Any] = field(default_factory=dict)
