ALTER TABLE attachments ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;

-- Whose turn it is to make room: the unprotected patients, in the order of their last instances.
CREATE TABLE recycling (
    turn INTEGER PRIMARY KEY,
    row INTEGER NOT NULL UNIQUE
) STRICT;
INSERT INTO recycling (row) SELECT row FROM resources WHERE level = 1 AND NOT is_protected ORDER BY row;
