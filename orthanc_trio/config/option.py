"""What is known of each option: read off the annotations of Settings, so that nothing is said twice."""

from collections.abc import Iterator
from enum import Enum
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from ..model.errors import BadParameterType, ParameterOutOfRange
from .choice import OverwriteInstances
from .settings import Effect, Settings

_NOUNS = {
    bool: "a Boolean",
    int: "an integer",
    float: "a number",
    str: "a string",
    tuple: "an array of strings",
    dict: "an object",
}


class Option(Struct, frozen=True, kw_only=True):
    """One option of the configuration file."""

    name: str
    attribute: str
    type: Any
    comment: str
    has_effect: bool
    default: Any

    def convert(self, value: Any) -> Any:
        """Return the typed value of what a configuration file gives.

        Raises BadParameterType or ParameterOutOfRange; both name the option.
        """
        value = _modern_spelling(self.name, value)
        if value == "" and type(None) in get_args(_unwrapped(self.type)) and self.is_path:
            return None
        bare = _bare(self.type)
        try:
            msgspec.convert(value, bare)
        except msgspec.ValidationError:
            raise BadParameterType(f"{_the_option(self.name)} must be {_noun(bare)}") from None
        try:
            return msgspec.convert(value, self.type, dec_hook=_decode)
        except msgspec.ValidationError as error:
            if _has_structs(self.type):
                raise ParameterOutOfRange(f"{_the_option(self.name)} is wrong: {error}") from None
            raise ParameterOutOfRange(f"{_the_option(self.name)} must be {_range(self.type)}") from None

    @property
    def is_path(self) -> bool:
        """Whether the values are paths, which are relative to the configuration."""
        return Path in _leaves(self.type)


@cache
def options() -> dict[str, Option]:
    """Return all options by their name, in the order of the sample file."""
    hints = get_type_hints(Settings, include_extras=True)
    return {
        field.encode_name: Option(
            name=field.encode_name,
            attribute=field.name,
            type=hints[field.name],
            comment=next(item for item in get_args(hints[field.name]) if isinstance(item, str)),
            has_effect=Effect.NONE not in get_args(hints[field.name]),
            default=getattr(Settings(), field.name),
        )
        for field in msgspec.structs.fields(Settings)
    }


def _the_option(name: str) -> str:
    return f'The configuration option "{name}"'


def _modern_spelling(name: str, value: Any) -> Any:
    """Return `value` as it is written today; anything else unchanged."""
    if name == "OverwriteInstances" and isinstance(value, bool):
        return OverwriteInstances.ALWAYS if value else OverwriteInstances.NEVER
    if name == "AcceptedTransferSyntaxes" and isinstance(value, str):
        return [value]
    return value


def _decode(type_: type, value: str) -> Any:
    if type_ is Path and not value:
        raise ValueError("empty path")
    return type_(value)


def _unwrapped(type_: Any) -> Any:
    return get_args(type_)[0] if get_origin(type_) is Annotated else type_


def _bare(type_: Any) -> Any:
    """Return the type without what limits its values: the JSON type that the option has."""
    type_ = _unwrapped(type_)
    arguments = get_args(type_)
    if get_origin(type_) in (Union, UnionType):
        return _bare(arguments[0])
    if get_origin(type_) is tuple:
        return tuple[dict[str, Any], ...] if _has_structs(type_) else tuple[str, ...]
    if get_origin(type_) is dict:
        return dict[str, _bare(arguments[1])]  # type: ignore[misc]  # built at run time
    if issubclass(type_, Struct):
        return dict[str, Any]
    return str if type_ is Path or issubclass(type_, Enum) else type_


def _noun(bare: Any) -> str:
    noun = _NOUNS[get_origin(bare) or bare]
    if get_origin(bare) is tuple and get_args(bare)[0] is not str:
        return "an array of objects"
    if get_origin(bare) is dict and get_args(bare)[1] is not Any:
        inner = get_args(bare)[1]
        return f"{noun} whose values are each {_NOUNS[get_origin(inner) or inner]}"
    return noun


def _has_structs(type_: Any) -> bool:
    return any(isinstance(leaf, type) and issubclass(leaf, Struct) for leaf in _leaves(type_))


def _leaves(type_: Any) -> Iterator[Any]:
    """Yield every part of a type, and the limits in it."""
    yield type_
    for argument in get_args(type_):
        yield from _leaves(argument)


def _range(type_: Any) -> str:
    for leaf in _leaves(type_):
        if isinstance(leaf, Meta):
            return f"between {leaf.ge} and {leaf.le}"
        if isinstance(leaf, type) and issubclass(leaf, Enum):
            return "one of " + ", ".join(f'"{member.value}"' for member in leaf)
    return "a path that is not empty"
