"""What has a number and a name: metadata and attachments. Some belong to the server, others to the users."""

from collections.abc import Mapping

from ..model.errors import BadRequest, InexistentItem, ParameterOutOfRange

USER_NUMBERS = range(1024, 65536)
"""The numbers that belong to the users."""

_MAX_DIGITS = 9


class NumberedNames:
    """The names of the server and of the configuration; any number without a name is its own one."""

    def __init__(self, system: Mapping[int, str], user: Mapping[str, int]) -> None:
        """Raises BadRequest for a name of the server, ParameterOutOfRange for a number with two."""
        _check(system, user)
        self._names = {**system, **{number: name for name, number in user.items()}}
        self._numbers = {name: int(number) for number, name in system.items()} | dict(user)

    def name(self, number: int) -> str:
        """Return the name of a number, which is its own one if none is declared."""
        return self._names.get(number) or str(number)

    def number(self, name: str) -> int:
        """Return the number of a name, or of a number. Raises InexistentItem for any other text."""
        known = self._numbers.get(name)
        if known is not None:
            return known
        digits = name.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS):
            raise InexistentItem
        return int(name)


def _check(system: Mapping[int, str], user: Mapping[str, int]) -> None:
    taken = sorted(user.keys() & set(system.values()))
    if taken:
        raise BadRequest(f"The configuration declares a name of the server: {taken[0]}")
    if len(set(user.values())) < len(user):
        raise ParameterOutOfRange(f"The configuration gives one number to several names: {', '.join(user)}")
