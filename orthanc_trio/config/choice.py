"""The options that choose one of several words. Source: the Orthanc Book, "Configuration of Orthanc"."""

from enum import StrEnum


class MaximumStorageMode(StrEnum):
    """What happens to a new instance when the storage is full."""

    RECYCLE = "Recycle"
    REJECT = "Reject"


class OverwriteInstances(StrEnum):
    """What happens to an instance that is stored already."""

    NEVER = "Never"
    ALWAYS = "Always"
    IF_CHANGED = "IfChanged"


class StorageAccessOnFind(StrEnum):
    """When a search may read files for tags that the index does not hold."""

    ALWAYS = "Always"
    ANSWERS = "Answers"
    NEVER = "Never"


class RetrieveMethod(StrEnum):
    """How instances are fetched from a modality."""

    C_MOVE = "C-MOVE"
    C_GET = "C-GET"


class TranscoderOrder(StrEnum):
    """When the built-in decoder is asked, relative to plugins."""

    AFTER = "After"
    BEFORE = "Before"
    DISABLED = "Disabled"


class ProfileVersion(StrEnum):
    """An edition of the confidentiality profile of PS3.15 Annex E."""

    PS3_15_2008 = "2008"
    PS3_15_2017C = "2017c"
    PS3_15_2021B = "2021b"
    PS3_15_2023B = "2023b"


class StorageBackend(StrEnum):
    """Where the bytes of attachments live."""

    FILESYSTEM = "filesystem"
    MEMORY = "memory"


class IndexBackend(StrEnum):
    """Where the index lives."""

    SQLITE = "sqlite"
    MEMORY = "memory"
