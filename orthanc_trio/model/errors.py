"""The one tree of errors. A class bears its Orthanc code, and so its HTTP status, and its DIMSE status.

Raise a class with the facts that the caller can use in `details`; text for people is made at the doors.
"""

from typing import ClassVar

from .error_code import ErrorCode


class OrthancError(Exception):
    """An error with an Orthanc code; `details` is shown to the client, so it never holds patient data."""

    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL_ERROR
    dimse_status: ClassVar[int] = 0x0110  # processing failure, PS3.7 Annex C
    is_transient: ClassVar[bool] = False
    """Whether the same may succeed a little later, so that a job with a retry policy tries again."""

    def __init__(self, details: str = "", *, payload: object = None) -> None:
        super().__init__(details)
        self.details = details
        self.payload = payload

    @property
    def http_status(self) -> int:
        """The HTTP status that an answer with this error has."""
        return self.code.http_status


class InternalError(OrthancError):
    """A bug or an impossible state, shown to the client without its inside."""


class NotImplementedYet(OrthancError):
    """A thing that the API names and this server does not do."""

    code = ErrorCode.NOT_IMPLEMENTED


class ParameterOutOfRange(OrthancError):
    """A value of the right type that is not allowed."""

    code = ErrorCode.PARAMETER_OUT_OF_RANGE


class BadParameterType(OrthancError):
    """A value that has the wrong type, such as text where a number belongs."""

    code = ErrorCode.BAD_PARAMETER_TYPE


class BadSequenceOfCalls(OrthancError):
    """A call that is not allowed in this state."""

    code = ErrorCode.BAD_SEQUENCE_OF_CALLS


class InexistentItem(OrthancError):
    """An item that does not exist (404 with code 7)."""

    code = ErrorCode.INEXISTENT_ITEM


class BadRequest(OrthancError):
    """A request that cannot be understood."""

    code = ErrorCode.BAD_REQUEST


class PayloadTooLarge(OrthancError):
    """A body beyond the limit of the configuration."""

    code = ErrorCode.BAD_REQUEST

    @property
    def http_status(self) -> int:
        """413, in place of the default of the code."""
        return 413


class CannotOrderSlices(OrthancError):
    """A series whose instances have neither places in space nor numbers."""

    code = ErrorCode.CANNOT_ORDER_SLICES


class DatabaseError(OrthancError):
    """The index failed: disk full, file damaged, lock lost."""

    code = ErrorCode.DATABASE
    dimse_status = 0xA700


class CannotWriteFile(OrthancError):
    """A file or a stream does not take what is written to it."""

    code = ErrorCode.CANNOT_WRITE_FILE
    dimse_status = 0xA700


class BadFileFormat(OrthancError):
    """A file or a body that is not what it must be."""

    code = ErrorCode.BAD_FILE_FORMAT
    dimse_status = 0xC000


class InexistentFile(OrthancError):
    """A file that should be in the storage area and is not."""

    code = ErrorCode.INEXISTENT_FILE


class Timeout(OrthancError):
    """Something took longer than its limit."""

    code = ErrorCode.TIMEOUT


class UnknownResource(OrthancError):
    """A patient, study, series, instance or URL that does not exist (404 with code 17)."""

    code = ErrorCode.UNKNOWN_RESOURCE


class IncompatibleDatabaseVersion(OrthancError):
    """An index that another version wrote and this one cannot read."""

    code = ErrorCode.INCOMPATIBLE_DATABASE_VERSION


class FullStorage(OrthancError):
    """The limit of the storage, or the disk, is reached."""

    code = ErrorCode.FULL_STORAGE
    dimse_status = 0xA700

    @property
    def http_status(self) -> int:
        """507, which Orthanc answers in place of the default of the code."""
        return 507


class CannotStoreInstance(OrthancError):
    """An instance that the server made and that its index refuses."""

    code = ErrorCode.CANNOT_STORE_INSTANCE


class ReadOnlyServer(OrthancError):
    """A change of what is stored, asked of a server that is read-only."""

    code = ErrorCode.READ_ONLY


class CorruptedFile(OrthancError):
    """A stored file whose bytes are not those that were stored."""

    code = ErrorCode.CORRUPTED_FILE


class InexistentTag(OrthancError):
    """A tag that a DICOM file must have and has not."""

    code = ErrorCode.INEXISTENT_TAG
    dimse_status = 0xA900


class UnknownDicomTag(OrthancError):
    """A name that is no DICOM tag."""

    code = ErrorCode.UNKNOWN_DICOM_TAG


class AlreadyExistingTag(OrthancError):
    """An entry of the dictionary for a tag that is known already."""

    code = ErrorCode.ALREADY_EXISTING_TAG


class OnlyTextInCreation(OrthancError):
    """A value that is no text, in a request to create an instance without the member Tags."""

    code = ErrorCode.CREATE_DICOM_NOT_STRING


class OverriddenTag(OrthancError):
    """A tag of a new instance that has a value already; `details` is its name."""

    code = ErrorCode.CREATE_DICOM_OVERRIDE_TAG


class PixelsAmongTags(OrthancError):
    """Pixel data where tags belong."""

    code = ErrorCode.CREATE_DICOM_USE_CONTENT


class NoPayload(OrthancError):
    """An instance of a new series without content."""

    code = ErrorCode.CREATE_DICOM_NO_PAYLOAD


class BadPayload(OrthancError):
    """Content of a new instance that is no text, hence no data URI."""

    code = ErrorCode.CREATE_DICOM_USE_DATA_URI_SCHEME


class BadParent(OrthancError):
    """A parent of a new instance that does not exist."""

    code = ErrorCode.CREATE_DICOM_BAD_PARENT


class ParentIsInstance(OrthancError):
    """A parent of a new instance that can have no children."""

    code = ErrorCode.CREATE_DICOM_PARENT_IS_INSTANCE


class RemoteUnavailable(OrthancError):
    """A peer that cannot be reached, breaks off, or cannot serve now: HTTP 5xx, out of resources."""

    code = ErrorCode.NETWORK_PROTOCOL
    is_transient = True

    def __init__(
        self, details: str = "", *, payload: object = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(details, payload=payload)
        self.retry_after_s = retry_after_s
        """When the peer asks to be tried again."""


class RemoteRefused(OrthancError):
    """A peer that refuses for good, such as with HTTP 4xx, or that is not trusted."""

    code = ErrorCode.NETWORK_PROTOCOL


class RemoteTimeout(Timeout):
    """A peer that took longer than its limit."""

    is_transient = True


class BadRevision(OrthancError):
    """A change of something that is not, or no longer, as the client believes (409)."""

    code = ErrorCode.REVISION


class DuplicateResource(OrthancError):
    """Something else has this name already (409)."""

    code = ErrorCode.DUPLICATE_RESOURCE


class DatabaseUnavailable(OrthancError):
    """The server is stopping, or its database is away for a moment (503): try again."""

    code = ErrorCode.DATABASE_UNAVAILABLE
    is_transient = True


class BadRange(OrthancError):
    """A byte range outside the file (416)."""

    code = ErrorCode.BAD_RANGE


class IncompatibleConfigurations(OrthancError):
    """Options that contradict each other."""

    code = ErrorCode.INCOMPATIBLE_CONFIGURATIONS


class HttpPortInUse(OrthancError):
    """The TCP port of the HTTP server is taken or privileged."""

    code = ErrorCode.HTTP_PORT_IN_USE


class BadApplicationEntityTitle(OrthancError):
    """An application entity title that is empty or longer than 16 characters."""

    code = ErrorCode.BAD_APPLICATION_ENTITY_TITLE


class FileStorageCannotWrite(OrthancError):
    """The storage area cannot create a file: disk full, folder not writable."""

    code = ErrorCode.FILE_STORAGE_CANNOT_WRITE
    dimse_status = 0xA700
