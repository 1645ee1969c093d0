-- The server's database.
--   * One table a kind of row. `doc` is the row as JSON (src/store/store_rows.c); the other columns repeat what is
--     searched and constrained. `sum` is FNV-1a over all other columns in their order: a flipped bit is found at open.
--   * The words in the CHECKs are those of SLICE_STATES, CLAIM_STATES, VM_POWERS, ERASE_VERDICTS.
--   * The texts that triggers raise are shown to people.

CREATE TABLE meta (
    key TEXT NOT NULL PRIMARY KEY CHECK (key <> ''),
    doc TEXT NOT NULL,
    sum INTEGER NOT NULL
) STRICT;

CREATE TABLE hosts (
    key            TEXT NOT NULL PRIMARY KEY CHECK (key <> ''),
    registration   INTEGER NOT NULL CHECK (registration >= 0),
    wants_revision INTEGER NOT NULL CHECK (wants_revision >= 0),
    doc            TEXT NOT NULL,
    sum            INTEGER NOT NULL
) STRICT;

CREATE TRIGGER hosts_registration BEFORE UPDATE ON hosts WHEN NEW.registration < OLD.registration
BEGIN SELECT RAISE(ABORT, 'its registration would go down'); END;

CREATE TRIGGER hosts_revision BEFORE UPDATE ON hosts WHEN NEW.wants_revision < OLD.wants_revision
BEGIN SELECT RAISE(ABORT, 'its revision would go down'); END;

CREATE TABLE drives (
    key  TEXT NOT NULL PRIMARY KEY CHECK (substr(key, 1, length(host) + 1) = host || '/'),
    host TEXT NOT NULL CHECK (host <> ''),
    doc  TEXT NOT NULL,
    sum  INTEGER NOT NULL
) STRICT;

CREATE INDEX drives_by_host ON drives (host, key);

CREATE TABLE claims (
    key   TEXT NOT NULL PRIMARY KEY CHECK (key <> ''),
    host  TEXT NOT NULL CHECK (host <> ''),
    vm    TEXT CHECK (vm <> ''),
    state TEXT NOT NULL CHECK (state IN ('granted', 'ready', 'releasing')),
    doc   TEXT NOT NULL,
    sum   INTEGER NOT NULL
) STRICT;

CREATE INDEX claims_by_host ON claims (host, key);

-- `generation` and `claim` are what is wanted, `seen_generation` and `state` what the agent reported last.
CREATE TABLE slices (
    key             TEXT NOT NULL PRIMARY KEY CHECK (key <> ''),
    host            TEXT NOT NULL CHECK (host <> ''),
    generation      INTEGER NOT NULL CHECK (generation >= seen_generation),
    seen_generation INTEGER NOT NULL CHECK (seen_generation >= 0),
    claim           TEXT CHECK (claim <> '') REFERENCES claims (key) DEFERRABLE INITIALLY DEFERRED,
    state           TEXT NOT NULL CHECK (state IN ('absent', 'blank', 'erasing', 'verifying', 'free', 'claimed',
                                                   'attached', 'dirty', 'quarantined')),
    doc             TEXT NOT NULL,
    sum             INTEGER NOT NULL
) STRICT;

CREATE INDEX slices_by_host ON slices (host, key);
CREATE INDEX slices_by_claim ON slices (claim, key) WHERE claim IS NOT NULL;

CREATE TRIGGER slices_generation BEFORE UPDATE ON slices WHEN NEW.generation < OLD.generation
BEGIN SELECT RAISE(ABORT, 'its generation would go down'); END;

CREATE TRIGGER slices_held BEFORE DELETE ON slices WHEN OLD.claim IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a claim holds it'); END;

CREATE TABLE classes (
    key           TEXT NOT NULL PRIMARY KEY CHECK (key <> ''),
    nominal_bytes INTEGER NOT NULL CHECK (nominal_bytes > 0),
    doc           TEXT NOT NULL,
    sum           INTEGER NOT NULL
) STRICT;

CREATE TABLE flavors (
    key   TEXT NOT NULL PRIMARY KEY CHECK (key <> ''),
    class TEXT NOT NULL CHECK (class <> ''),
    doc   TEXT NOT NULL,
    sum   INTEGER NOT NULL
) STRICT;

CREATE TABLE vms (
    key   TEXT NOT NULL PRIMARY KEY CHECK (key <> ''),
    host  TEXT CHECK (host <> ''),
    uuid  TEXT UNIQUE CHECK (uuid <> ''),
    claim TEXT UNIQUE CHECK (claim <> ''),
    power TEXT NOT NULL CHECK (power IN ('off', 'running', 'paused', 'gone')),
    doc   TEXT NOT NULL,
    sum   INTEGER NOT NULL
) STRICT;

CREATE INDEX vms_by_host ON vms (host, key);

-- Evidence. Only ever added to.
CREATE TABLE erasures (
    key     TEXT NOT NULL PRIMARY KEY CHECK (key <> ''),
    host    TEXT NOT NULL CHECK (host <> ''),
    seq     INTEGER NOT NULL CHECK (seq > 0),
    slice   TEXT NOT NULL CHECK (slice <> ''),
    verdict TEXT NOT NULL CHECK (verdict IN ('unfinished', 'verified', 'not-erased', 'failed', 'unverifiable',
                                             'refused')),
    doc     TEXT NOT NULL,
    sum     INTEGER NOT NULL,
    UNIQUE (host, seq)
) STRICT;

CREATE INDEX erasures_by_host ON erasures (host, key);
CREATE INDEX erasures_by_slice ON erasures (slice, key);

-- The same record put once more changes nothing and is no error: answers get lost.
CREATE TRIGGER erasures_stay BEFORE UPDATE ON erasures WHEN OLD.doc <> NEW.doc OR OLD.sum <> NEW.sum
BEGIN SELECT RAISE(ABORT, 'an erasure is never changed'); END;

CREATE TRIGGER erasures_remain BEFORE DELETE ON erasures
BEGIN SELECT RAISE(ABORT, 'an erasure is never deleted'); END;

CREATE TABLE requests (
    key       TEXT NOT NULL PRIMARY KEY CHECK (key <> ''),
    body_hash TEXT NOT NULL CHECK (body_hash <> ''),
    status    INTEGER NOT NULL,
    doc       TEXT NOT NULL,
    sum       INTEGER NOT NULL
) STRICT;

CREATE TRIGGER requests_body BEFORE UPDATE ON requests WHEN OLD.body_hash <> NEW.body_hash
BEGIN SELECT RAISE(ABORT, 'its body would change'); END;
