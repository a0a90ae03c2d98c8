"""The JSON body of a request to create instances -> `CreateRequest`.

Source: the Orthanc Book, "Create DICOM"; `/tools/create-dicom`.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from ..model.errors import BadParent, BadPayload, BadRequest, NoPayload, OnlyTextInCreation
from .dictionary import Dictionary
from .embedding import is_picture
from .scan import PIXEL_DATA


class NewInstance(Struct, frozen=True):
    """What one instance has for itself: a data URI, and tags by name."""

    content: str | None = None
    tags: Mapping[str, Any] = {}


class CreateRequest(Struct, frozen=True, kw_only=True):
    """What is to be created. `tags` are those of all instances, by name, with JSON values."""

    tags: Mapping[str, Any]
    instances: tuple[NewInstance, ...]
    is_series: bool = False
    """Whether the content is a list: the instances are numbered, and the answer is their series."""
    parent: str | None = None
    is_bare: bool = False
    """Whether the body had no member Tags: then no date and no character set is added."""
    is_forced: bool = False
    decodes_binary: bool = True
    private_creator: str = ""
    is_encapsulated: bool = False

    @property
    def has_pictures(self) -> bool:
        """Whether images are to be decoded. Raises BadFileFormat for what is no data URI."""
        return any(each.content is not None and is_picture(each.content) for each in self.instances)


def create_request_of_body(body: Any, *, private_creator: str, dictionary: Dictionary) -> CreateRequest:
    """Return what the decoded body of a request asks for; `private_creator` is what it has by default.

    Raises BadRequest for a wrong type, BadPayload and NoPayload for wrong content, BadParent; without the
    member Tags, OnlyTextInCreation for a value that is no text and UnknownDicomTag.
    """
    if not isinstance(body, dict):
        raise BadRequest
    if "Tags" not in body:
        return _bare_request(body, dictionary)
    tags = body["Tags"]
    if not isinstance(tags, dict):
        raise BadRequest
    content = body.get("Content", [])
    is_series = isinstance(content, list) and len(content) > 0
    return CreateRequest(
        tags=tags,
        instances=tuple(_item(each) for each in content) if is_series else (_single(content),),
        is_series=is_series,
        parent=_parent(body),
        is_forced=_boolean(body, "Force", False),
        decodes_binary=_boolean(body, "InterpretBinaryTags", True),
        private_creator=_text(body, "PrivateCreator", private_creator),
        is_encapsulated=_is_encapsulated(body),
    )


def _bare_request(body: Mapping[str, Any], dictionary: Dictionary) -> CreateRequest:
    if not all(isinstance(value, str) for value in body.values()):
        raise OnlyTextInCreation
    numbers = {name: dictionary.tag_number(name) for name in body}
    content = next((body[name] for name, number in numbers.items() if number == PIXEL_DATA), None)
    return CreateRequest(
        tags={name: body[name] for name, number in numbers.items() if number != PIXEL_DATA},
        instances=(NewInstance(content),),
        is_bare=True,
        is_forced=True,
        decodes_binary=False,
    )


def _single(content: Any) -> NewInstance:
    if content == []:
        return NewInstance()
    if not isinstance(content, str):
        raise BadPayload
    return NewInstance(content)


def _item(item: Any) -> NewInstance:
    if isinstance(item, str):
        return NewInstance(item)
    if not isinstance(item, dict):
        raise BadPayload
    if "Content" not in item:
        raise NoPayload
    if not isinstance(item["Content"], str):
        raise BadPayload
    tags = item.get("Tags", {})
    if not isinstance(tags, dict):
        raise BadRequest("Tags field is not an array")
    return NewInstance(item["Content"], tags)


def _parent(body: Mapping[str, Any]) -> str | None:
    if "Parent" not in body:
        return None
    parent = body["Parent"]
    if not isinstance(parent, str):
        raise BadParent
    return parent


def _is_encapsulated(body: Mapping[str, Any]) -> bool:
    # Without content nobody looks at it, and null is false.
    return "Content" in body and body.get("Encapsulate") is not None and _boolean(body, "Encapsulate", False)


def _boolean(body: Mapping[str, Any], name: str, default: bool) -> bool:
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise BadRequest
    return value


def _text(body: Mapping[str, Any], name: str, default: str) -> str:
    value = body.get(name, default)
    if not isinstance(value, str):
        raise BadRequest
    return value
