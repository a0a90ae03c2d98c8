"""What a job `ResourceModification` was asked for, and how far it is."""

from typing import Annotated, Final

from msgspec import Meta, Struct

from ..dicom.modification import Modification
from ..model.resource import ResourceLevel
from ..services.registration import Origin, ResourceIds
from ..services.rewriting import Transcoding
from .rewriting_plan import RewritingCursor

NAMED: Final = 100
"""So many instances of a sort are named, so that a cursor stays small."""


class ModifyArgs(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request to modify or anonymise."""

    modification: Modification
    resources: tuple[str, ...]
    key: Annotated[bytes, Meta(min_length=16)]
    """A random secret: with it, a repetition gives the same identities, and nobody else does."""
    origin: Origin
    level: ResourceLevel | None = None
    """The level of the URL, at which the result is shown; None for `/tools/bulk-*`."""
    keeps_source: bool = True
    keeps_labels: bool = False
    is_permissive: bool = False
    transcoding: Transcoding | None = None
    is_atomic: bool = False
    """Whether a job that fails or is cancelled takes back what it has stored."""
    removes_secondary_captures: bool = False
    is_dry_run: bool = False
    """Whether the job stores nothing and shows what it would do."""

    @property
    def needs_log(self) -> bool:
        """Whether the job has to know at its end what came of each source."""
        return self.level is None or self.is_atomic or not self.keeps_source


class Named(Struct, frozen=True, array_like=True):
    """A number of instances, of which the first are named."""

    count: int = 0
    first: tuple[str, ...] = ()

    def plus(self, ids: list[str]) -> "Named":
        """Return these and more."""
        return Named(self.count + len(ids), (*self.first, *ids)[:NAMED]) if ids else self


class ModifyCursor(RewritingCursor, frozen=True, omit_defaults=True):
    """How far a job is, and what is to be told of it."""

    result: ResourceIds | None = None
    """The first result."""
    burned_in: Named = Named()
    not_transcoded: Named = Named()
