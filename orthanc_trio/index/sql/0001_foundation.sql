-- Facts of resources. Nothing refers to another database object by trigger or foreign key: the transaction
-- removes what belongs together itself, because it must tell its caller what it removed anyway.

-- `tags` is a JSON object of the main DICOM tags: "gggg,eeee" -> value. Studies have a copy of the tags of their
-- patient, `patient_tags`, because their first instance may say other than the first one of the patient.
CREATE TABLE resources (
    row INTEGER PRIMARY KEY,
    level INTEGER NOT NULL,
    id TEXT NOT NULL UNIQUE,
    parent INTEGER,
    tags BLOB NOT NULL,
    patient_tags BLOB,
    is_protected INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX resources_by_level ON resources (level, id);
CREATE INDEX resources_by_parent ON resources (parent, id);

-- `revision` counts how often users have changed a value; what the server writes itself stays at 0.
CREATE TABLE metadata (
    row INTEGER NOT NULL,
    type INTEGER NOT NULL,
    value TEXT NOT NULL,
    revision INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (row, type)
) STRICT, WITHOUT ROWID;

CREATE TABLE attachments (
    row INTEGER NOT NULL,
    type INTEGER NOT NULL,
    uuid TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    uncompressed_size INTEGER NOT NULL,
    compression INTEGER NOT NULL,
    md5 TEXT NOT NULL,
    uncompressed_md5 TEXT NOT NULL,
    crc32 INTEGER NOT NULL,
    PRIMARY KEY (row, type)
) STRICT, WITHOUT ROWID;

CREATE TABLE labels (
    row INTEGER NOT NULL,
    label TEXT NOT NULL,
    PRIMARY KEY (row, label)
) STRICT, WITHOUT ROWID;
CREATE INDEX labels_by_text ON labels (label);

-- AUTOINCREMENT: a number is never given twice, even after the log was emptied.
-- `date` is in microseconds since 1970 in UTC.
CREATE TABLE changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    type INTEGER NOT NULL,
    row INTEGER NOT NULL,
    date INTEGER NOT NULL
) STRICT;
CREATE INDEX changes_by_row ON changes (row);

-- A queue: files whose attachment is gone and that still lie in the storage area.
CREATE TABLE forgotten_files (
    number INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE
) STRICT;

-- Totals, so that nobody has to count. Exactly one row.
CREATE TABLE statistics (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    patients INTEGER NOT NULL,
    studies INTEGER NOT NULL,
    series INTEGER NOT NULL,
    instances INTEGER NOT NULL,
    disk_size INTEGER NOT NULL,
    uncompressed_size INTEGER NOT NULL
) STRICT;
INSERT INTO statistics VALUES (1, 0, 0, 0, 0, 0, 0);

CREATE TABLE jobs (id TEXT PRIMARY KEY, record BLOB NOT NULL) STRICT;
CREATE TABLE plans (job_id TEXT PRIMARY KEY, plan BLOB NOT NULL) STRICT;
CREATE TABLE properties (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
