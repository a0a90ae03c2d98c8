-- What is searched most, in columns with indexes: values in capital letters, letter by letter (`folded`).
-- The other tags are searched in `resources.tags`. A study has a copy of what its first instance says of the
-- patient; it is that which searches of studies, series and instances look at.
CREATE TABLE patient_keys (
    row INTEGER PRIMARY KEY,
    patient_id TEXT,
    patient_name TEXT,
    patient_birth_date TEXT
) STRICT;
CREATE TABLE study_keys (
    row INTEGER PRIMARY KEY,
    study_instance_uid TEXT,
    accession_number TEXT,
    study_date TEXT,
    study_description TEXT,
    patient_id TEXT,
    patient_name TEXT,
    patient_birth_date TEXT
) STRICT;
CREATE TABLE series_keys (
    row INTEGER PRIMARY KEY,
    series_instance_uid TEXT,
    modality TEXT,
    series_description TEXT
) STRICT;
CREATE TABLE instance_keys (row INTEGER PRIMARY KEY, sop_instance_uid TEXT) STRICT;

INSERT INTO patient_keys
SELECT row, folded(CAST(tags AS TEXT) ->> '$."0010,0020"'), folded(CAST(tags AS TEXT) ->> '$."0010,0010"'),
    folded(CAST(tags AS TEXT) ->> '$."0010,0030"')
FROM resources WHERE level = 1;
INSERT INTO study_keys
SELECT row, folded(CAST(tags AS TEXT) ->> '$."0020,000d"'), folded(CAST(tags AS TEXT) ->> '$."0008,0050"'),
    folded(CAST(tags AS TEXT) ->> '$."0008,0020"'), folded(CAST(tags AS TEXT) ->> '$."0008,1030"'),
    folded(CAST(patient_tags AS TEXT) ->> '$."0010,0020"'), folded(CAST(patient_tags AS TEXT) ->> '$."0010,0010"'),
    folded(CAST(patient_tags AS TEXT) ->> '$."0010,0030"')
FROM resources WHERE level = 2;
INSERT INTO series_keys
SELECT row, folded(CAST(tags AS TEXT) ->> '$."0020,000e"'), folded(CAST(tags AS TEXT) ->> '$."0008,0060"'),
    folded(CAST(tags AS TEXT) ->> '$."0008,103e"')
FROM resources WHERE level = 3;
INSERT INTO instance_keys SELECT row, folded(CAST(tags AS TEXT) ->> '$."0008,0018"') FROM resources WHERE level = 4;

CREATE INDEX patient_keys_by_id ON patient_keys (patient_id);
CREATE INDEX patient_keys_by_name ON patient_keys (patient_name);
CREATE INDEX patient_keys_by_birth_date ON patient_keys (patient_birth_date);
CREATE INDEX study_keys_by_uid ON study_keys (study_instance_uid);
CREATE INDEX study_keys_by_accession_number ON study_keys (accession_number);
CREATE INDEX study_keys_by_date ON study_keys (study_date);
CREATE INDEX study_keys_by_description ON study_keys (study_description);
CREATE INDEX study_keys_by_patient_id ON study_keys (patient_id);
CREATE INDEX study_keys_by_patient_name ON study_keys (patient_name);
CREATE INDEX study_keys_by_patient_birth_date ON study_keys (patient_birth_date);
CREATE INDEX series_keys_by_uid ON series_keys (series_instance_uid);
CREATE INDEX series_keys_by_modality ON series_keys (modality);
CREATE INDEX series_keys_by_description ON series_keys (series_description);
CREATE INDEX instance_keys_by_uid ON instance_keys (sop_instance_uid);
