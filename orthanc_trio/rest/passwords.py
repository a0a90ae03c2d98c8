"""Passwords of registered users, given as such or as argon2 hashes (RFC 9106).

To verify a hash is slow on purpose, so it is done in a thread, few at a time, and what was right is
remembered: under a keyed hash, so that the cache holds no password.
"""

import hmac
import os
from collections import OrderedDict
from collections.abc import Mapping

import trio

from ..model.errors import BadFileFormat

_HASH_PREFIX = "$argon2"
_THREADS = 2
_MOST_REMEMBERED = 1024


class Passwords:
    """Checks pairs of user and password. Raises BadFileFormat for a hash that is none."""

    def __init__(self, users: Mapping[str, str]) -> None:
        hashes = {name: text for name, text in users.items() if text.startswith(_HASH_PREFIX)}
        self._plain = tuple(f"{name}:{text}".encode() for name, text in users.items() if name not in hashes)
        self._hashed = _HashedPasswords(hashes) if hashes else None

    async def check(self, credentials: bytes) -> bool:
        """Return whether `user:password` is right. The time tells nothing about who is registered."""
        matches = [hmac.compare_digest(credentials, expected) for expected in self._plain]
        return any(matches) or (self._hashed is not None and await self._hashed.check(credentials))


class _HashedPasswords:
    def __init__(self, hashes: Mapping[str, str]) -> None:
        # Only who has hashes needs the library.
        from argon2 import PasswordHasher, extract_parameters
        from argon2.exceptions import InvalidHashError

        try:
            parameters = [extract_parameters(text) for text in hashes.values()]
        except InvalidHashError:
            raise BadFileFormat("A registered user has an argon2 hash that cannot be read") from None
        self._hasher = PasswordHasher.from_parameters(parameters[0])
        self._hashes = {name.encode(): text for name, text in hashes.items()}
        self._nobody = self._hasher.hash(os.urandom(16))
        """What the password of an unknown user is compared with, to take the same time."""
        self._limiter = trio.CapacityLimiter(_THREADS)
        self._key = os.urandom(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()

    async def check(self, credentials: bytes) -> bool:
        digest = hmac.digest(self._key, credentials, "sha256")
        if digest in self._right:
            self._right.move_to_end(digest)
            return True
        user, _, password = credentials.partition(b":")
        hashed = self._hashes.get(user, self._nobody)
        is_right = await trio.to_thread.run_sync(self._verify, hashed, password, limiter=self._limiter)
        if is_right:
            self._right[digest] = None
            if len(self._right) > _MOST_REMEMBERED:
                self._right.popitem(last=False)
        return is_right

    def _verify(self, hashed: str, password: bytes) -> bool:
        from argon2.exceptions import VerificationError

        try:
            return self._hasher.verify(hashed, password)
        except VerificationError:
            return False
