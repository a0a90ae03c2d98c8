"""What has a number and a name: metadata and attachments. Some belong to the server, others to the users."""

from collections.abc import Mapping

from ..model.errors import InexistentItem

USER_NUMBERS = range(1024, 65536)
"""The numbers that belong to the users."""

_MAX_DIGITS = 9


class NumberedNames:
    """The names of the server and of the configuration; any number without a name is its own one."""

    def __init__(self, system: Mapping[int, str], user: Mapping[str, int]) -> None:
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
