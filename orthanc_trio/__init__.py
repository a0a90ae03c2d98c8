"""orthanc_trio: a DICOM server with Orthanc's REST API, built on structured concurrency."""

__version__ = "0.1.0"
