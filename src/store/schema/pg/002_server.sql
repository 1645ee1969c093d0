-- Pieces of firmware images on their way to agents. `key` is DIGEST/NUMBER.
CREATE TABLE firmware (
    key text COLLATE "C" PRIMARY KEY CHECK (key <> ''),
    doc text NOT NULL
);
