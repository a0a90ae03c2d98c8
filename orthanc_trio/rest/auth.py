"""Who may enter: HTTP Basic authentication, and whether other computers may.

Source: the Orthanc Book, "Securing Orthanc".
"""

import base64
import binascii
import hmac
import logging
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from ..model.errors import BadFileFormat, IncompatibleConfigurations, ParameterOutOfRange
from .errors import empty_answer

_LOOPBACK = "127.0.0.1"
_PUBLISHED = frozenset({b"orthanc:orthanc", b"alice:orthanctest"})
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
    credentials: tuple[bytes, ...] = ()
    """`user:password` of all who may enter."""
    is_secure: bool
    """What `/system` says of the server."""

    def user_of(self, client: str, authorization: bytes | None) -> str | None:
        """Return the name of the user, empty if none is needed; None refuses the request."""
        if not self.is_remote_allowed and client != _LOOPBACK:
            return None
        if not self.needs_user:
            return ""
        return self._authenticated(authorization)

    def _authenticated(self, authorization: bytes | None) -> str | None:
        given = _basic_credentials(authorization)
        if given is None:
            return None
        # All are compared, so that the time tells nothing about who is registered.
        matches = [hmac.compare_digest(given, expected) for expected in self.credentials]
        return given.partition(b":")[0].decode("utf-8", "replace") if any(matches) else None


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
    all, ParameterOutOfRange for a colon in the name of a user, BadFileFormat for a password that is no text.
    """
    users = options.registered_users
    credentials = tuple(_credentials(name, password) for name, password in (users or {}).items())
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
        credentials=credentials,
        is_secure=not (is_remote and not needs_user) and _PUBLISHED.isdisjoint(credentials),
    )
    _warn(policy)
    return policy


def _credentials(name: str, password: object) -> bytes:
    if ":" in name:
        raise ParameterOutOfRange("The name of a registered user cannot contain a colon")
    if not isinstance(password, str):
        raise BadFileFormat("The password of a registered user must be a string")
    return f"{name}:{password}".encode()


def _warn(policy: AccessPolicy) -> None:
    if policy.is_remote_allowed and not policy.needs_user:
        _log.warning("remote access is allowed without authentication: this server is open to everybody")
    if policy.needs_user and not policy.credentials:
        _log.warning("authentication is enabled, but there is no registered user: every request is refused")
    if not _PUBLISHED.isdisjoint(policy.credentials):
        _log.warning("a registered user has a published password: this server is not secure")
