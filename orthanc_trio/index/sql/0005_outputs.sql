-- Small files that jobs leave, by name: they are in the same commit as the end of their job.
CREATE TABLE outputs (file TEXT PRIMARY KEY, data BLOB NOT NULL) STRICT;
