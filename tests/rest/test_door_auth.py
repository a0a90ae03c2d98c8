import base64
import logging
import time
from typing import Any

import pytest
from argon2 import PasswordHasher

from orthanc_trio.model.errors import BadFileFormat, IncompatibleConfigurations, ParameterOutOfRange
from orthanc_trio.rest.auth import AccessOptions, access_policy

USERS = {"ann": "secret", "bob": "pa:ss", "zoë": "pässwort"}
LOCAL = "127.0.0.1"
REMOTE = "192.0.2.1"


def basic(pair: str) -> bytes:
    return b"Basic " + base64.b64encode(pair.encode())


@pytest.mark.parametrize(
    ("enabled", "remote", "users", "needs_user", "is_secure"),
    [
        (None, False, None, False, True),
        (None, False, USERS, False, True),
        (None, True, USERS, True, True),
        (None, True, {}, True, True),
        (True, True, {}, True, True),
        (True, True, USERS, True, True),
        (True, False, None, True, True),
        (True, False, {}, True, True),
        (True, False, USERS, True, True),
        (False, True, None, False, False),
        (False, True, USERS, False, False),
        (False, False, None, False, True),
        (None, True, {"orthanc": "orthanc"}, True, False),
        (None, True, {"alice": "orthanctest", **USERS}, True, False),
    ],
)
def test_the_options_decide_together(
    enabled: bool | None, remote: bool, users: dict[str, Any] | None, needs_user: bool, is_secure: bool
) -> None:
    policy = access_policy(
        AccessOptions(remote_access_allowed=remote, authentication_enabled=enabled, registered_users=users)
    )
    assert (policy.needs_user, policy.is_secure, policy.is_remote_allowed) == (needs_user, is_secure, remote)


@pytest.mark.parametrize("enabled", [None, True])
def test_remote_access_with_authentication_and_no_users_at_all_stops_the_start(enabled: bool | None) -> None:
    with pytest.raises(IncompatibleConfigurations):
        access_policy(AccessOptions(remote_access_allowed=True, authentication_enabled=enabled))


def test_users_that_cannot_work_stop_the_start() -> None:
    with pytest.raises(ParameterOutOfRange):
        access_policy(AccessOptions(registered_users={"a:b": "c"}))
    with pytest.raises(BadFileFormat):
        access_policy(AccessOptions(registered_users={"a": 7}))


def test_open_doors_are_warned_of_without_passwords(caplog: pytest.LogCaptureFixture) -> None:
    access_policy(AccessOptions(remote_access_allowed=True, authentication_enabled=False))
    access_policy(AccessOptions(remote_access_allowed=True, registered_users={}))
    access_policy(AccessOptions(remote_access_allowed=True, registered_users={"alice": "orthanctest"}))
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
    assert "orthanctest" not in caplog.text


@pytest.mark.parametrize("user", USERS)
async def test_registered_users_enter_under_their_name(user: str) -> None:
    policy = access_policy(AccessOptions(remote_access_allowed=True, registered_users=USERS))
    assert await policy.user_of(REMOTE, basic(f"{user}:{USERS[user]}")) == user


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        b"",
        b"Basic",
        b"Basic ***",
        b"Bearer abc",
        basic("ann:wrong"),
        basic("ann"),
        basic("ann:"),
        basic("nobody:secret"),
        basic("ann:secret "),
        basic("bob:pa"),
        basic(""),
    ],
)
async def test_others_do_not_enter(authorization: bytes | None) -> None:
    policy = access_policy(AccessOptions(authentication_enabled=True, registered_users=USERS))
    assert await policy.user_of(LOCAL, authorization) is None


async def test_other_computers_do_not_enter_a_local_server_whoever_they_are() -> None:
    policy = access_policy(AccessOptions(authentication_enabled=True, registered_users=USERS))
    assert await policy.user_of(REMOTE, basic("ann:secret")) is None
    assert await policy.user_of(LOCAL, basic("ann:secret")) == "ann"


async def test_nobody_has_a_name_where_none_is_needed() -> None:
    assert await access_policy(AccessOptions()).user_of(LOCAL, basic("ann:secret")) == ""


# Argon2 hashes of the PHC string format, here with parameters that are fast.
HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
HASHED = {"ann": HASHER.hash("secret"), "zoë": HASHER.hash("päss:wort"), "bob": "plain"}


@pytest.mark.parametrize("pair", ["ann:secret", "zoë:päss:wort", "bob:plain"])
async def test_hashed_and_plain_passwords_open_the_door_again_and_again(pair: str) -> None:
    policy = access_policy(AccessOptions(remote_access_allowed=True, registered_users=HASHED))
    for _ in range(3):
        assert await policy.user_of(REMOTE, basic(pair)) == pair.partition(":")[0]


@pytest.mark.parametrize(
    "pair", ["ann:wrong", "ann:", "nobody:secret", "bob:secret", "ann", "ann:{hash}", "zoë:secret"]
)
async def test_a_hash_is_no_password_and_others_do_not_enter(pair: str) -> None:
    pair = pair.format(hash=HASHED["ann"])
    policy = access_policy(AccessOptions(remote_access_allowed=True, registered_users=HASHED))
    await policy.user_of(REMOTE, basic("ann:secret"))
    for _ in range(2):
        assert await policy.user_of(REMOTE, basic(pair)) is None


async def test_a_right_password_is_verified_once() -> None:
    slow = PasswordHasher(time_cost=8, memory_cost=32 * 1024, parallelism=1).hash("secret")
    policy = access_policy(AccessOptions(authentication_enabled=True, registered_users={"ann": slow}))
    times = []
    for _ in range(20):
        started = time.perf_counter()
        assert await policy.user_of(LOCAL, basic("ann:secret")) == "ann"
        times.append(time.perf_counter() - started)
    assert min(times[1:]) < times[0] / 20


def test_a_broken_hash_stops_the_start() -> None:
    with pytest.raises(BadFileFormat, match="argon2"):
        access_policy(AccessOptions(registered_users={"ann": "$argon2id$v=19$nonsense"}))
