"""Jobs `Webhook` against a receiver on a real socket that does what the script says."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw
from trio.testing import MockClock

from orthanc_trio.config.webhook import Webhook, WebhookRetry
from orthanc_trio.kinds.webhook import WebhookKind, signature
from orthanc_trio.model.error_code import ErrorCode
from orthanc_trio.model.errors import InexistentFile, ParameterOutOfRange
from orthanc_trio.model.job import JobRecord, JobState, SubmitOptions
from orthanc_trio.remote.client import HttpClientOptions, HttpReply
from orthanc_trio.remote.http import open_http_client
from orthanc_trio.services.webhook_event import Delivery
from orthanc_trio.services.webhook_handover import Hooks
from tests.support.http import make_certificate, server_tls
from tests.support.jobs import EPOCH, CountArgs, CountKind, Rig, now, running_engine
from tests.support.receiver import (
    SECRET,
    Action,
    answer,
    babble,
    drip,
    flood,
    hang,
    receiving,
    reset,
)

QUICK = WebhookRetry(max_attempts=2, delay=0.01)
BODY = '{"EventId":"e1","Type":"NewStudy"}'


class Sender:
    """An engine that delivers to one receiver."""

    def __init__(self, rig: Rig, hooks: Hooks, webhook: Webhook) -> None:
        self.rig = rig
        self.hooks = hooks
        self.webhook = webhook

    def delivery(self, id: str = "e1", hook: str | None = None) -> Delivery:
        (known,) = self.hooks.all()
        return Delivery(
            hook=hook or known,
            host=self.webhook.host,
            id=id,
            name="NewStudy",
            time=EPOCH,
            subject="a-study",
            body=Raw(BODY.encode()),
            seq=1,
        )

    async def submit(self, **changes: Any) -> JobRecord:
        options = SubmitOptions(retry=self.webhook.retry.policy)
        return await self.rig.engine.submit("Webhook", self.delivery(**changes), options)

    async def deliver(self, **changes: Any) -> JobRecord:
        return await self.rig.engine.wait((await self.submit(**changes)).id)


@asynccontextmanager
async def sending(
    url: str, *, client: HttpClientOptions | None = None, engine: dict[str, Any] | None = None, **fields: Any
) -> AsyncIterator[Sender]:
    values: dict[str, Any] = {"url": url, "events": ("*",), "secret": SECRET, "retry": QUICK}
    webhook = Webhook(**(values | fields))
    hooks = Hooks((webhook,))
    async with open_http_client(client or HttpClientOptions()) as http:
        kinds = (WebhookKind(hooks, http, now), CountKind())
        async with running_engine(*kinds, **(engine or {})) as rig:
            yield Sender(rig, hooks, webhook)


async def test_an_event_is_told_once_and_signed() -> None:
    async with receiving() as receiver, sending(receiver.url) as sender:
        record = await sender.deliver()

        (call,) = receiver.calls
        assert record.state is JobState.SUCCESS
        assert record.content["HttpStatus"] == 200
        assert call.target == "/hook?token=geheim"
        assert call.body == BODY.encode()
        assert call.is_signed_with(SECRET)
        assert call.headers["content-type"] == "application/json"
        assert call.headers["x-orthanctrio-event"] == "NewStudy"
        assert call.delivery == "e1"


def test_the_signature_is_that_of_the_documentation() -> None:
    # printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret
    expected = "sha256=49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686"

    assert signature("secret", "1700000000", b'{"a":1}') == expected


async def test_without_a_secret_nothing_is_signed() -> None:
    async with receiving() as receiver, sending(receiver.url, secret="") as sender:
        await sender.deliver()

        assert "x-orthanctrio-signature" not in receiver.calls[0].headers


@pytest.mark.parametrize(
    ("trouble", "timeout"),
    [
        (answer(500), 10),
        (answer(503), 10),
        (answer(408), 10),
        (answer(429), 10),
        (hang, 0.1),
        (drip, 0.2),
        (reset, 10),
        (babble, 10),
    ],
)
async def test_what_may_pass_is_tried_again_with_the_same_identifier(trouble: Action, timeout: float) -> None:
    async with receiving() as receiver, sending(receiver.url, timeout=timeout) as sender:
        receiver.script = [trouble]
        record = await sender.submit()
        await sender.rig.until_state(record.id, JobState.SUCCESS)

        first, second = receiver.calls
        assert first.delivery == second.delivery == "e1"
        assert first.body == second.body
        assert second.is_signed_with(SECRET)
        assert JobState.RETRY in sender.rig.states(record.id)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413])
async def test_a_refusal_is_final(status: int) -> None:
    async with receiving() as receiver, sending(receiver.url) as sender:
        receiver.script = [answer(status)]
        record = await sender.deliver()

        assert len(receiver.calls) == 1
        assert record.fault is not None
        assert record.fault.code is ErrorCode.NETWORK_PROTOCOL
        assert str(status) in record.fault.details


async def test_a_redirect_is_not_followed() -> None:
    async with receiving() as receiver, receiving() as elsewhere, sending(receiver.url) as sender:
        receiver.script = [answer(307, f"Location: {elsewhere.url}")]
        record = await sender.deliver()

        assert record.state is JobState.FAILURE
        assert elsewhere.calls == []


async def test_a_receiver_that_is_away_gets_the_event_when_it_is_back() -> None:
    async with receiving() as receiver:
        port = receiver.port
    async with sending(receiver.url, retry=WebhookRetry(max_attempts=100, delay=0.02, backoff=1)) as sender:
        record = await sender.submit()
        waiting = await sender.rig.until_state(record.id, JobState.RETRY)
        assert waiting.fault is not None
        assert waiting.fault.details == "Cannot connect to the receiver"
        async with receiving(port) as receiver:
            await sender.rig.until_state(record.id, JobState.SUCCESS)

            assert [call.delivery for call in receiver.calls] == ["e1"]


async def test_attempts_end() -> None:
    async with receiving() as receiver, sending(receiver.url) as sender:
        receiver.otherwise = answer(503)
        record = await sender.deliver()

        assert record.state is JobState.FAILURE
        assert len(receiver.calls) == 2

        receiver.otherwise = answer()
        assert await sender.rig.engine.resubmit(record.id)
        await sender.rig.until_state(record.id, JobState.SUCCESS)

        assert receiver.counts() == {"e1": 3}


@pytest.mark.parametrize(
    ("asked", "delay_s"), [("30", 30), ("9999", 60), ("0", 0.5), ("soon", 0.5), ("-1", 0.5), ("", 0.5)]
)
async def test_the_delay_that_the_receiver_asks_for_is_kept_within_the_limit(
    asked: str, delay_s: float
) -> None:
    retry = WebhookRetry(max_attempts=2, delay=0.5, max_delay=60)
    async with receiving() as receiver, sending(receiver.url, retry=retry) as sender:
        receiver.script = [answer(503, f"Retry-After: {asked}")]
        record = await sender.rig.until_state((await sender.submit()).id, JobState.RETRY)

        assert record.retry_at is not None
        assert (record.retry_at - record.changed).total_seconds() == pytest.approx(delay_s, abs=0.2)


@pytest.mark.parametrize(
    ("text", "delay_s"),
    [
        ("Fri, 02 Jan 2026 00:00:00 GMT", 86400),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0),
        ("Fri, 02 Jan 2026 00:00:00 -0000", None),
        ("Fri, 99 Jan 2026", None),
        ("1.5", None),
    ],
)
def test_a_delay_may_be_a_date(text: str, delay_s: float | None) -> None:
    assert HttpReply(503, text).retry_after_s(datetime(2026, 1, 1, tzinfo=UTC)) == delay_s


async def test_an_answer_without_end_is_cut_off() -> None:
    async with receiving() as receiver, sending(receiver.url) as sender:
        receiver.script = [flood]

        assert (await sender.deliver()).state is JobState.SUCCESS


async def test_only_receivers_of_the_configuration_are_called() -> None:
    async with receiving() as receiver, sending(receiver.url) as sender:
        record = await sender.deliver(hook="0123456789abcdef")

        assert record.fault is not None
        assert record.fault.code is ErrorCode.INEXISTENT_ITEM
        assert receiver.calls == []


async def test_receivers_that_hang_take_no_slot() -> None:
    engine = {"concurrent_jobs": 1, "slotless": frozenset(("Webhook",))}
    async with receiving() as receiver, sending(receiver.url, engine=engine) as sender:
        receiver.otherwise = hang
        jobs = [await sender.submit(id=f"e{number}") for number in range(3)]
        await receiver.calls_until(3)

        counted = await sender.rig.engine.submit("Count", CountArgs(3))
        assert (await sender.rig.engine.wait(counted.id)).state is JobState.SUCCESS

        for job in jobs:
            await sender.rig.engine.cancel(job.id)
            await sender.rig.until_state(job.id, JobState.FAILURE)


async def test_nothing_secret_is_shown_or_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with receiving() as receiver, sending(receiver.url) as sender:
        receiver.script = [answer(500), answer(404)]
        record = await sender.deliver()

    assert len(receiver.calls) == 2
    shown = json.dumps(record.content) + str(record.fault) + bytes(record.args).decode() + caplog.text
    assert SECRET not in shown
    assert "token" not in shown
    assert "EventId" not in caplog.text


async def test_certificates_are_verified(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    async with receiving(tls=server_tls(certificate)) as receiver:
        url = receiver.url.replace("http:", "https:")
        async with sending(url, client=HttpClientOptions(authorities=certificate)) as sender:
            assert (await sender.deliver()).state is JobState.SUCCESS
        async with sending(url, client=HttpClientOptions(verifies_peers=False)) as sender:
            assert (await sender.deliver()).state is JobState.SUCCESS
        async with sending(url) as sender:
            record = await sender.deliver()

    assert len(receiver.calls) == 2
    assert record.fault is not None
    assert record.fault.details == "The certificate of the receiver is not trusted"


async def test_authorities_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(InexistentFile, match="HttpsCACertificates"):
        async with open_http_client(HttpClientOptions(authorities=tmp_path / "no.pem")):
            pass


async def test_a_proxy_is_used_if_the_configuration_names_one() -> None:
    async with receiving() as proxy:
        options = HttpClientOptions(proxy=f"127.0.0.1:{proxy.port}")
        async with sending("http://receiver.invalid/x", client=options) as sender:
            assert (await sender.deliver()).state is JobState.SUCCESS

    assert proxy.calls[0].target == "http://receiver.invalid/x"


@pytest.mark.parametrize("proxy", ["a:b", "ftp://a", "http://[::"])
async def test_a_proxy_that_is_none_is_refused(proxy: str) -> None:
    with pytest.raises(ParameterOutOfRange, match="HttpProxy"):
        async with open_http_client(HttpClientOptions(proxy=proxy)):
            pass


@pytest.mark.parametrize(
    "url", [f"http://{'a' * 70}/", "http://a..b/", "http://%41%zz/", "http://[fe80::1%25]/"]
)
async def test_a_url_that_cannot_be_called_is_a_fault_of_the_job(url: str) -> None:
    async with sending(url, timeout=1) as sender:
        record = await sender.deliver()

        assert record.fault is not None
        assert record.fault.code in (ErrorCode.NETWORK_PROTOCOL, ErrorCode.TIMEOUT)


class Deaf:
    """A client that nobody may call."""

    async def post(self, *_: Any, **__: Any) -> HttpReply:
        raise AssertionError


async def test_a_delivery_waits_for_its_note_but_not_for_ever(autojump_clock: MockClock) -> None:
    webhook = Webhook(url="http://a/", events=("*",), retry=WebhookRetry(max_attempts=3))
    hooks = Hooks((webhook,))
    async with running_engine(WebhookKind(hooks, Deaf(), now)) as rig:
        sender = Sender(rig, hooks, webhook)
        hooks.hold(sender.delivery())
        record = await sender.deliver()

    assert record.fault is not None
    assert record.fault.code is ErrorCode.DATABASE_UNAVAILABLE
    assert record.changed - record.created == timedelta(seconds=3 * 10 + 10 + 20)
