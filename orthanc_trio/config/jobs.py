"""The options `JobsRetry` and `JobsLimits`: what holds for all jobs of a type, or to a destination."""

from typing import Annotated

from msgspec import Meta, Struct, field

from .webhook import WebhookRetry

JobLimit = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class JobsRetry(Struct, frozen=True, kw_only=True, rename="pascal", forbid_unknown_fields=True):
    """When jobs are tried again. A destination goes before a type."""

    types: dict[str, WebhookRetry] = field(default_factory=dict)
    destinations: dict[str, WebhookRetry] = field(default_factory=dict)


class JobsLimits(Struct, frozen=True, kw_only=True, rename="pascal", forbid_unknown_fields=True):
    """How many jobs run at the same time; the name `*` is any that is not there."""

    types: dict[str, JobLimit] = field(default_factory=dict)
    destinations: dict[str, JobLimit] = field(default_factory=dict)
