-- The trigrams of the columns that are searched by what is within them: `*smith*`. They hold no text of their own,
-- so the keys of a row are told to them before they change or go (`sqlite_keys.py`).
CREATE VIRTUAL TABLE patient_texts USING fts5(
    patient_id, patient_name,
    content = 'patient_keys', content_rowid = 'row', columnsize = 0, tokenize = 'trigram case_sensitive 1'
);
CREATE VIRTUAL TABLE study_texts USING fts5(
    accession_number, study_description, patient_id, patient_name,
    content = 'study_keys', content_rowid = 'row', columnsize = 0, tokenize = 'trigram case_sensitive 1'
);
-- Merged early: each part of the index costs a search some microseconds.
INSERT INTO patient_texts (patient_texts, rank) VALUES ('automerge', 2);
INSERT INTO study_texts (study_texts, rank) VALUES ('automerge', 2);
INSERT INTO patient_texts (patient_texts) VALUES ('rebuild');
INSERT INTO study_texts (study_texts) VALUES ('rebuild');
