"""What jobs `SplitStudy` and `MergeStudy` were asked for, and how far they are."""

from abc import ABCMeta, abstractmethod
from typing import Annotated

from msgspec import Meta, Struct, StructMeta

from ..dicom.modification import Modification
from ..services.registration import Origin
from .rewriting_plan import RewritingCursor


class _AbstractMeta(StructMeta, ABCMeta):
    """Makes structs with abstract methods, which cannot be instantiated."""


class RestructureArgs(Struct, frozen=True, kw_only=True, omit_defaults=True, metaclass=_AbstractMeta):
    """A request to have instances go to another study."""

    study: str
    """The study of the URL."""
    modification: Modification
    key: Annotated[bytes, Meta(min_length=16)]
    """A random secret: with it, a repetition gives the same new UIDs."""
    origin: Origin
    keeps_source: bool = False
    is_permissive: bool = False
    is_atomic: bool = False
    """Whether a job that fails or is cancelled takes back what it has stored."""

    @property
    @abstractmethod
    def resources(self) -> tuple[str, ...]:
        """The resources whose instances go."""


class SplitArgs(RestructureArgs, frozen=True, kw_only=True, omit_defaults=True):
    """A request to take series and instances out of a study."""

    series: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()
    study_uid: str
    """The UID of the new study."""

    @property
    def resources(self) -> tuple[str, ...]:
        """The resources whose instances go."""
        return (*self.series, *self.instances)


class MergeArgs(RestructureArgs, frozen=True, kw_only=True, omit_defaults=True):
    """A request to put studies, series and instances into a study."""

    sources: tuple[str, ...]

    @property
    def resources(self) -> tuple[str, ...]:
        """The resources whose instances go."""
        return self.sources


class RestructureCursor(RewritingCursor, frozen=True, omit_defaults=True):
    """How far a job is, and where to."""

    target: str | None = None
    """The study of the first result."""
