"""Jobs `Webhook`: one event, told to one receiver of the configuration. See docs/webhooks.md.

The receiver gets the same identifier and the same body at each attempt. A 2xx ends the job; what may pass is
raised as a transient error, so that the engine tries again.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from .. import __version__
from ..jobs.kind import JobKind, StepContext
from ..model.errors import InexistentItem, RemoteRefused, RemoteUnavailable
from ..model.job import Done
from ..remote.client import HttpClient, HttpReply
from ..services.webhook_event import Delivery
from ..services.webhook_handover import Hooks
from .bundle import KindServices

__all__ = ["make_kinds", "WebhookKind", "signature"]

_TRANSIENT_STATUSES: Final = (408, 429)


def make_kinds(services: KindServices) -> Iterable[JobKind[Any, Any, Any]]:
    """Offer the kind of this module."""
    return (WebhookKind(services.hooks, services.http, services.now),)


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return the header `X-OrthancTrio-Signature` of a body that is sent at `timestamp`."""
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"sha256={digest}"


class WebhookPlan(Struct, frozen=True):
    """Nothing is to be resolved."""


class WebhookCursor(Struct, frozen=True):
    """There is one step."""


Context = StepContext[WebhookCursor]


class WebhookKind:
    """Delivers events. `http` is None where no receiver is configured."""

    name = "Webhook"
    args_type = Delivery
    plan_type = WebhookPlan
    cursor_type = WebhookCursor
    plan_is_repeatable = True

    def __init__(self, hooks: Hooks, http: HttpClient | None, now: Callable[[], datetime]) -> None:
        self._hooks = hooks
        self._http = http
        self._now = now

    def destination(self, args: Delivery) -> str | None:
        """Return the host of the receiver."""
        return args.host

    def resources(self, args: Delivery) -> tuple[str, ...]:
        """Return the resource, or the job, that the event is about."""
        return (args.subject,)

    async def check(self, args: Delivery) -> dict[str, Any]:
        """Return what is shown: neither the URL, which may hold a secret, nor the body."""
        return {"Description": "Webhook", "Event": args.name, "EventId": args.id, "Host": args.host}

    async def plan(self, context: Context, args: Delivery) -> WebhookPlan:  # noqa: ARG002 - of the seam
        """Resolve nothing."""
        return WebhookPlan()

    def start(self, plan: WebhookPlan) -> WebhookCursor:  # noqa: ARG002 - of the seam
        """Begin."""
        return WebhookCursor()

    async def step(
        self,
        context: Context,  # noqa: ARG002 - of the seam
        args: Delivery,
        plan: WebhookPlan,  # noqa: ARG002 - of the seam
        cursor: WebhookCursor,  # noqa: ARG002 - of the seam
    ) -> Done:
        """Send the event once. Safe to repeat and to cancel: the receiver knows it by its identifier.

        Raises RemoteTimeout, RemoteUnavailable, DatabaseUnavailable, which are transient; RemoteRefused;
        InexistentItem if the receiver is not in the configuration any more.
        """
        webhook = self._hooks.find(args.hook)
        if webhook is None or self._http is None:
            raise InexistentItem('The receiver is not in the configuration option "Webhooks" any more')
        await self._hooks.wait_released(args)
        body = bytes(args.body)
        headers = self._headers(args, webhook.secret, body)
        reply = await self._http.post(webhook.url, body, headers, timeout_s=webhook.timeout)
        return self._judge(reply)

    async def discard(self, context: Context, args: Delivery) -> None:
        """Remove nothing: a delivery leaves nothing behind here."""

    def _headers(self, args: Delivery, secret: str, body: bytes) -> dict[str, str]:
        timestamp = str(int(self._now().timestamp()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"orthanc-trio/{__version__}",
            "X-OrthancTrio-Event": args.name,
            "X-OrthancTrio-Delivery": args.id,
            "X-OrthancTrio-Timestamp": timestamp,
        }
        if secret:
            headers["X-OrthancTrio-Signature"] = signature(secret, timestamp, body)
        return headers

    def _judge(self, reply: HttpReply) -> Done:
        if 200 <= reply.status < 300:
            return Done({"HttpStatus": reply.status})
        details = f"The receiver answered with HTTP status {reply.status}"
        if reply.status >= 500 or reply.status in _TRANSIENT_STATUSES:
            raise RemoteUnavailable(details, retry_after_s=reply.retry_after_s(self._now()))
        raise RemoteRefused(details)
