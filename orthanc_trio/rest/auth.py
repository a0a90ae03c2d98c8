"""Who may enter: HTTP Basic authentication, and whether other computers may.

Source: the Orthanc Book, "Securing Orthanc".
"""

import base64
import binascii
import logging
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from ..model.errors import BadFileFormat, IncompatibleConfigurations, ParameterOutOfRange
from .errors import empty_answer
from .passwords import Passwords

_LOOPBACK = "127.0.0.1"
_PUBLISHED = frozenset({("orthanc", "orthanc"), ("alice", "orthanctest")})
"""Users of samples and documentation, which everybody knows."""

UNAUTHORIZED = empty_answer(401, ("WWW-Authenticate", 'Basic realm="Orthanc Secure Area"'))

_log = logging.getLogger(__name__)


class AccessOptions(Struct, frozen=True, kw_only=True):
    """The options of the configuration that decide on access; None is an absent option."""

    remote_access_allowed: bool = False
    authentication_enabled: bool | None = None
    registered_users: Mapping[str, Any] | None = None


class AccessPolicy(Struct, frozen=True, kw_only=True):
    """Decides on requests."""

    is_remote_allowed: bool
    needs_user: bool
    passwords: Passwords
    is_secure: bool
    """What `/system` says of the server."""

    async def user_of(self, client: str, authorization: bytes | None) -> str | None:
        """Return the name of the user, empty if none is needed; None refuses the request."""
        if not self.is_remote_allowed and client != _LOOPBACK:
            return None
        if not self.needs_user:
            return ""
        given = _basic_credentials(authorization)
        if given is None or not await self.passwords.check(given):
            return None
        return given.partition(b":")[0].decode("utf-8", "replace")


def _basic_credentials(authorization: bytes | None) -> bytes | None:
    scheme, _, value = (authorization or b"").partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        return base64.b64decode(value.strip(), validate=True)
    except binascii.Error:
        return None


def access_policy(options: AccessOptions) -> AccessPolicy:
    """Decide on access, and warn of open doors.

    Raises IncompatibleConfigurations if other computers shall authenticate and no users are configured at
    all, ParameterOutOfRange for a colon in the name of a user, BadFileFormat for a password that is neither
    text nor an argon2 hash.
    """
    users = options.registered_users
    known = {name: _password(name, password) for name, password in (users or {}).items()}
    is_remote = options.remote_access_allowed
    is_enabled = options.authentication_enabled
    needs_user = is_remote if is_enabled is None else is_enabled
    if is_remote and needs_user and users is None:
        raise IncompatibleConfigurations(
            'Remote access is allowed and authentication is enabled, but "RegisteredUsers" is not set'
        )
    policy = AccessPolicy(
        is_remote_allowed=is_remote,
        needs_user=needs_user,
        passwords=Passwords(known),
        is_secure=not (is_remote and not needs_user) and _PUBLISHED.isdisjoint(known.items()),
    )
    _warn(policy, known)
    return policy


def _password(name: str, password: object) -> str:
    if ":" in name:
        raise ParameterOutOfRange("The name of a registered user cannot contain a colon")
    if not isinstance(password, str):
        raise BadFileFormat("The password of a registered user must be a string")
    return password


def _warn(policy: AccessPolicy, users: Mapping[str, str]) -> None:
    if policy.is_remote_allowed and not policy.needs_user:
        _log.warning("remote access is allowed without authentication: this server is open to everybody")
    if policy.needs_user and not users:
        _log.warning("authentication is enabled, but there is no registered user: every request is refused")
    if not _PUBLISHED.isdisjoint(users.items()):
        _log.warning("a registered user has a published password: this server is not secure")
