"""What the configuration says of jobs."""

from collections.abc import Mapping

from msgspec import Struct, field

from ..model.job import RetryPolicy


class Limits(Struct, frozen=True, kw_only=True):
    """How many jobs run at the same time, by type and by destination; "*" is any that is not named."""

    types: Mapping[str, int] = field(default_factory=dict)
    destinations: Mapping[str, int] = field(default_factory=dict)


class Retries(Struct, frozen=True, kw_only=True):
    """When jobs are tried again that do not say it themselves. A destination goes before a type."""

    types: Mapping[str, RetryPolicy] = field(default_factory=dict)
    destinations: Mapping[str, RetryPolicy] = field(default_factory=dict)

    def find(self, kind: str, destination: str | None) -> RetryPolicy | None:
        """Return the policy of a job; None if it is not to be tried again."""
        named = None if destination is None else self.destinations.get(destination)
        return named or self.types.get(kind)


class HistoryOptions(Struct, frozen=True, kw_only=True):
    """Which ended jobs are kept."""

    size: int
    failed_size: int | None = None
    """None: `size`; without `failed_max_age_s` it counts successes and failures together, as in Orthanc."""
    max_age_s: float = 0
    """0 = no limit."""
    failed_max_age_s: float | None = None
    """None: `max_age_s`."""


class EngineOptions(Struct, frozen=True, kw_only=True):
    """The options of the engine."""

    concurrent_jobs: int
    history: HistoryOptions
    timeout_s: float = 0
    """Limit of the time in Running of jobs that do not say it themselves, 0 = none."""
    cancel_timeout_s: float = 5.0
    """How long a job that failed or was cancelled may take to remove what it leaves."""
    retries: Retries = field(default_factory=Retries)
    limits: Limits = field(default_factory=Limits)
    slotless: frozenset[str] = frozenset()
    """Types whose jobs do little but wait for others: they take no slot, so only `limits` bounds them."""


class Holds(Struct, frozen=True, kw_only=True):
    """The types and destinations whose jobs are kept from running."""

    types: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()

    def with_hold(self, *, type: str | None = None, destination: str | None = None) -> "Holds":
        """Return these and one more; of `type` and `destination` either may be None."""
        return Holds(types=_with(self.types, type), destinations=_with(self.destinations, destination))

    def without(self, *, type: str | None = None, destination: str | None = None) -> "Holds":
        """Return these but those given."""
        return Holds(
            types=tuple(name for name in self.types if name != type),
            destinations=tuple(name for name in self.destinations if name != destination),
        )


def _with(names: tuple[str, ...], name: str | None) -> tuple[str, ...]:
    return names if name is None or name in names else (*names, name)
