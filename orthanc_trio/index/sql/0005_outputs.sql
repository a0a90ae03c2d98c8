-- Small files that jobs leave, by name: they are in the same commit as the end of their job. They were used last
-- at `used_s`, in seconds since 1970; NULL if never.
CREATE TABLE outputs (file TEXT PRIMARY KEY, used_s REAL, data BLOB NOT NULL) STRICT;
