-- Pieces of firmware images on their way to agents. `key` is DIGEST/NUMBER.
CREATE TABLE firmware (
    key TEXT NOT NULL PRIMARY KEY CHECK (key <> ''),
    doc TEXT NOT NULL,
    sum INTEGER NOT NULL
) STRICT;
