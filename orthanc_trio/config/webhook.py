"""The option `Webhooks`: who is told of what by HTTP. See docs/webhooks.md."""

from typing import Annotated, Final
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from ..model.errors import ParameterOutOfRange
from ..model.event import ChangeType
from ..model.job import RetryPolicy

ALL_EVENTS: Final = "*"
JOB_EVENTS: Final = ("JobSubmitted", "JobSuccess", "JobFailure")
CHANGE_EVENTS: Final = {type.wire_name: type for type in ChangeType}

Seconds = Annotated[float, Meta(ge=0, le=7 * 24 * 3600)]
Limit = Annotated[float, Meta(ge=0.1, le=3600)]


class WebhookRetry(Struct, frozen=True, kw_only=True, rename="pascal", forbid_unknown_fields=True):
    """How often a delivery is tried, and when: the first delay, its growth, its limit, in seconds."""

    max_attempts: Annotated[int, Meta(ge=1, le=1000)] = 5
    delay: Seconds = 10.0
    backoff: Annotated[float, Meta(ge=1, le=100)] = 2.0
    max_delay: Seconds = 600.0

    @property
    def policy(self) -> RetryPolicy:
        """Return the same in the words of the jobs engine."""
        return RetryPolicy(
            max_attempts=self.max_attempts,
            delay_s=self.delay,
            backoff=self.backoff,
            max_delay_s=self.max_delay,
        )


class Webhook(Struct, frozen=True, kw_only=True, rename="pascal", forbid_unknown_fields=True):
    """One receiver. Its `url` tells it apart from the others."""

    url: str
    events: tuple[str, ...]
    secret: str = ""
    timeout: Limit = 10.0
    retry: WebhookRetry = WebhookRetry()

    @property
    def event_names(self) -> frozenset[str]:
        """Return the events that the receiver is told of; `*` is all."""
        if ALL_EVENTS in self.events:
            return frozenset((*JOB_EVENTS, *CHANGE_EVENTS))
        return frozenset(self.events)

    @property
    def host(self) -> str:
        """Return the host of the URL in lower case."""
        return urlsplit(self.url).hostname or ""


def check_webhooks(webhooks: tuple[Webhook, ...]) -> None:
    """Raise ParameterOutOfRange for a URL that cannot be called or is repeated, or an unknown event.

    A URL is not quoted: it may hold a password.
    """
    urls: set[str] = set()
    for number, webhook in enumerate(webhooks):
        place = f'The configuration option "Webhooks"[{number}]'
        if not _is_callable(webhook.url):
            raise ParameterOutOfRange(f'{place}: "Url" must be like http://host/path or https://host/path')
        if webhook.url in urls:
            raise ParameterOutOfRange(f'{place}: "Url" is repeated')
        urls.add(webhook.url)
        _check_events(place, webhook.events)


def _check_events(place: str, events: tuple[str, ...]) -> None:
    known = (ALL_EVENTS, *JOB_EVENTS, *CHANGE_EVENTS)
    if not events:
        raise ParameterOutOfRange(f'{place}: "Events" must not be empty')
    for name in events:
        if name not in known:
            raise ParameterOutOfRange(f'{place}: unknown event "{name}", must be one of {", ".join(known)}')


def _is_callable(url: str) -> bool:
    if not (url.isascii() and url.isprintable()) or " " in url:
        return False
    try:
        parts = urlsplit(url)
        port = parts.port  # raises if it is no number
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0 and not parts.fragment
