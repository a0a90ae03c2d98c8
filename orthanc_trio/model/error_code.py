"""Every error code of Orthanc, with its HTTP status and its text.

The numbers and texts are part of the wire format: clients turn them into enums, so nothing may be added.
Source: the Orthanc Book, "List of error codes"; `orthanc --errors`.
"""

from enum import IntEnum
from typing import Self


class ErrorCode(IntEnum):
    """An Orthanc error code: the number, its default HTTP status and its description."""

    http_status: int
    description: str

    def __new__(cls, value: int, http_status: int, description: str) -> Self:
        """Make a member out of a row of the table."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.http_status = http_status
        member.description = description
        return member

    INTERNAL_ERROR = -1, 500, "Internal error"
    SUCCESS = 0, 200, "Success"
    PLUGIN = 1, 500, "Error encountered within the plugin engine"
    NOT_IMPLEMENTED = 2, 500, "Not implemented yet"
    PARAMETER_OUT_OF_RANGE = 3, 400, "Parameter out of range"
    NOT_ENOUGH_MEMORY = 4, 500, "The server hosting Orthanc is running out of memory"
    BAD_PARAMETER_TYPE = 5, 400, "Bad type for a parameter"
    BAD_SEQUENCE_OF_CALLS = 6, 500, "Bad sequence of calls"
    INEXISTENT_ITEM = 7, 404, "Accessing an inexistent item"
    BAD_REQUEST = 8, 400, "Bad request"
    NETWORK_PROTOCOL = 9, 500, "Error in the network protocol"
    SYSTEM_COMMAND = 10, 500, "Error while calling a system command"
    DATABASE = 11, 500, "Error with the database engine"
    URI_SYNTAX = 12, 400, "Badly formatted URI"
    INEXISTENT_FILE = 13, 404, "Inexistent file"
    CANNOT_WRITE_FILE = 14, 500, "Cannot write to file"
    BAD_FILE_FORMAT = 15, 400, "Bad file format"
    TIMEOUT = 16, 500, "Timeout"
    UNKNOWN_RESOURCE = 17, 404, "Unknown resource"
    INCOMPATIBLE_DATABASE_VERSION = 18, 500, "Incompatible version of the database"
    FULL_STORAGE = 19, 500, "The file storage is full"
    CORRUPTED_FILE = 20, 500, "Corrupted file (e.g. inconsistent MD5 hash)"
    INEXISTENT_TAG = 21, 404, "Inexistent tag"
    READ_ONLY = 22, 500, "Cannot modify a read-only data structure"
    INCOMPATIBLE_IMAGE_FORMAT = 23, 500, "Incompatible format of the images"
    INCOMPATIBLE_IMAGE_SIZE = 24, 500, "Incompatible size of the images"
    SHARED_LIBRARY = 25, 500, "Error while using a shared library (plugin)"
    UNKNOWN_PLUGIN_SERVICE = 26, 500, "Plugin invoking an unknown service"
    UNKNOWN_DICOM_TAG = 27, 500, "Unknown DICOM tag"
    BAD_JSON = 28, 400, "Cannot parse a JSON document"
    UNAUTHORIZED = 29, 401, "Bad credentials were provided to an HTTP request"
    BAD_FONT = 30, 500, "Badly formatted font file"
    DATABASE_PLUGIN = (
        31,
        500,
        "The plugin implementing a custom database back-end does not fulfill the proper interface",
    )
    STORAGE_AREA_PLUGIN = 32, 500, "Error in the plugin implementing a custom storage area"
    EMPTY_REQUEST = 33, 500, "The request is empty"
    NOT_ACCEPTABLE = 34, 406, "Cannot send a response which is acceptable according to the Accept HTTP header"
    NULL_POINTER = 35, 500, "Cannot handle a NULL pointer"
    DATABASE_UNAVAILABLE = 36, 503, "The database is currently not available (probably a transient situation)"
    CANCELED_JOB = 37, 500, "This job was canceled"
    BAD_GEOMETRY = 38, 500, "Geometry error encountered in Stone"
    SSL_INITIALIZATION = 39, 500, "Cannot initialize SSL encryption, check out your certificates"
    DISCONTINUED_ABI = 40, 500, "Calling a function that has been removed from the Orthanc Framework"
    BAD_RANGE = 41, 416, "Incorrect range request"
    DATABASE_CANNOT_SERIALIZE = (
        42,
        503,
        "Database could not serialize access due to concurrent update, the transaction should be retried",
    )
    REVISION = (
        43,
        409,
        "A bad revision number was provided, which might indicate conflict between multiple writers",
    )
    MAIN_DICOM_TAGS_MULTIPLY_DEFINED = (
        44,
        500,
        "A main DICOM Tag has been defined multiple times for the same resource level",
    )
    FORBIDDEN_ACCESS = 45, 403, "Access to a resource is forbidden"
    DUPLICATE_RESOURCE = 46, 409, "Duplicate resource"
    INCOMPATIBLE_CONFIGURATIONS = (
        47,
        500,
        "Your configuration file contains configuration that are mutually incompatible",
    )
    SQLITE_NOT_OPENED = 1000, 500, "SQLite: The database is not opened"
    SQLITE_ALREADY_OPENED = 1001, 500, "SQLite: Connection is already open"
    SQLITE_CANNOT_OPEN = 1002, 500, "SQLite: Unable to open the database"
    SQLITE_STATEMENT_ALREADY_USED = 1003, 500, "SQLite: This cached statement is already being referred to"
    SQLITE_EXECUTE = 1004, 500, "SQLite: Cannot execute a command"
    SQLITE_ROLLBACK_WITHOUT_TRANSACTION = (
        1005,
        500,
        "SQLite: Rolling back a nonexistent transaction (have you called Begin()?)",
    )
    SQLITE_COMMIT_WITHOUT_TRANSACTION = 1006, 500, "SQLite: Committing a nonexistent transaction"
    SQLITE_REGISTER_FUNCTION = 1007, 500, "SQLite: Unable to register a function"
    SQLITE_FLUSH = 1008, 500, "SQLite: Unable to flush the database"
    SQLITE_CANNOT_RUN = 1009, 500, "SQLite: Cannot run a cached statement"
    SQLITE_CANNOT_STEP = 1010, 500, "SQLite: Cannot step over a cached statement"
    SQLITE_BIND_OUT_OF_RANGE = 1011, 500, "SQLite: Bind a value while out of range (serious error)"
    SQLITE_PREPARE_STATEMENT = 1012, 500, "SQLite: Cannot prepare a cached statement"
    SQLITE_TRANSACTION_ALREADY_STARTED = 1013, 500, "SQLite: Beginning the same transaction twice"
    SQLITE_TRANSACTION_COMMIT = 1014, 500, "SQLite: Failure when committing the transaction"
    SQLITE_TRANSACTION_BEGIN = 1015, 500, "SQLite: Cannot start a transaction"
    DIRECTORY_OVER_FILE = 2000, 500, "The directory to be created is already occupied by a regular file"
    FILE_STORAGE_CANNOT_WRITE = 2001, 500, "Unable to create a subdirectory or a file in the file storage"
    DIRECTORY_EXPECTED = 2002, 500, "The specified path does not point to a directory"
    HTTP_PORT_IN_USE = 2003, 500, "The TCP port of the HTTP server is privileged or already in use"
    DICOM_PORT_IN_USE = 2004, 500, "The TCP port of the DICOM server is privileged or already in use"
    BAD_HTTP_STATUS_IN_REST = 2005, 500, "This HTTP status is not allowed in a REST API"
    REGULAR_FILE_EXPECTED = 2006, 500, "The specified path does not point to a regular file"
    PATH_TO_EXECUTABLE = 2007, 500, "Unable to get the path to the executable"
    MAKE_DIRECTORY = 2008, 500, "Cannot create a directory"
    BAD_APPLICATION_ENTITY_TITLE = (
        2009,
        500,
        "An application entity title (AET) cannot be empty or be longer than 16 characters",
    )
    NO_C_FIND_HANDLER = 2010, 500, "No request handler factory for DICOM C-FIND SCP"
    NO_C_MOVE_HANDLER = 2011, 500, "No request handler factory for DICOM C-MOVE SCP"
    NO_C_STORE_HANDLER = 2012, 500, "No request handler factory for DICOM C-STORE SCP"
    NO_APPLICATION_ENTITY_FILTER = 2013, 500, "No application entity filter"
    NO_SOP_CLASS_OR_INSTANCE = 2014, 500, "DicomUserConnection: Unable to find the SOP class and instance"
    NO_PRESENTATION_CONTEXT = (
        2015,
        500,
        "DicomUserConnection: No acceptable presentation context for modality",
    )
    DICOM_FIND_UNAVAILABLE = (
        2016,
        500,
        "DicomUserConnection: The C-FIND command is not supported by the remote SCP",
    )
    DICOM_MOVE_UNAVAILABLE = (
        2017,
        500,
        "DicomUserConnection: The C-MOVE command is not supported by the remote SCP",
    )
    CANNOT_STORE_INSTANCE = 2018, 500, "Cannot store an instance"
    CREATE_DICOM_NOT_STRING = 2019, 400, "Only string values are supported when creating DICOM instances"
    CREATE_DICOM_OVERRIDE_TAG = 2020, 400, "Trying to override a value inherited from a parent module"
    CREATE_DICOM_USE_CONTENT = 2021, 400, 'Use "Content" to inject an image into a new DICOM instance'
    CREATE_DICOM_NO_PAYLOAD = 2022, 400, "No payload is present for one instance in the series"
    CREATE_DICOM_USE_DATA_URI_SCHEME = (
        2023,
        400,
        "The payload of the DICOM instance must be specified according to Data URI scheme",
    )
    CREATE_DICOM_BAD_PARENT = 2024, 400, "Trying to attach a new DICOM instance to an inexistent resource"
    CREATE_DICOM_PARENT_IS_INSTANCE = (
        2025,
        400,
        "Trying to attach a new DICOM instance to an instance (must be a series, study or patient)",
    )
    CREATE_DICOM_PARENT_ENCODING = 2026, 500, "Unable to get the encoding of the parent resource"
    UNKNOWN_MODALITY = 2027, 500, "Unknown modality"
    BAD_JOB_ORDERING = 2028, 500, "Bad ordering of filters in a job"
    JSON_TO_LUA_TABLE = 2029, 500, "Cannot convert the given JSON object to a Lua table"
    CANNOT_CREATE_LUA = 2030, 500, "Cannot create the Lua context"
    CANNOT_EXECUTE_LUA = 2031, 500, "Cannot execute a Lua command"
    LUA_ALREADY_EXECUTED = 2032, 500, "Arguments cannot be pushed after the Lua function is executed"
    LUA_BAD_OUTPUT = 2033, 500, "The Lua function does not give the expected number of outputs"
    NOT_LUA_PREDICATE = 2034, 500, "The Lua function is not a predicate (only true/false outputs allowed)"
    LUA_RETURNS_NO_STRING = 2035, 500, "The Lua function does not return a string"
    STORAGE_AREA_ALREADY_REGISTERED = 2036, 500, "Another plugin has already registered a custom storage area"
    DATABASE_BACKEND_ALREADY_REGISTERED = (
        2037,
        500,
        "Another plugin has already registered a custom database back-end",
    )
    DATABASE_NOT_INITIALIZED = 2038, 500, "Plugin trying to call the database during its initialization"
    SSL_DISABLED = 2039, 500, "Orthanc has been built without SSL support"
    CANNOT_ORDER_SLICES = 2040, 500, "Unable to order the slices of the series"
    NO_WORKLIST_HANDLER = 2041, 500, "No request handler factory for DICOM C-Find Modality SCP"
    ALREADY_EXISTING_TAG = 2042, 500, "Cannot override the value of a tag that already exists"
    NO_STORAGE_COMMITMENT_HANDLER = (
        2043,
        500,
        "No request handler factory for DICOM N-ACTION SCP (storage commitment)",
    )
    NO_C_GET_HANDLER = 2044, 500, "No request handler factory for DICOM C-GET SCP"
    DICOM_GET_UNAVAILABLE = (
        2045,
        500,
        "DicomUserConnection: The C-GET command is not supported by the remote SCP",
    )
    UNSUPPORTED_MEDIA_TYPE = 3000, 415, "Unsupported media type"
