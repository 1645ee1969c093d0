-- The agent's ledger.
--   * `doc` is the row as JSON (src/store/ledger_rows.c); the other columns repeat what is constrained. `sum` is FNV-1a
--     over all other columns in their order: a flipped bit is found at open.
--   * The words in the CHECKs are those of SLICE_STATES and ADOPTS.
--   * The texts that triggers raise are shown to people.

-- What the agent made of each of its erasures, signed. Only ever added to.
CREATE TABLE records (
    seq  INTEGER NOT NULL PRIMARY KEY CHECK (seq > 0),
    prev TEXT NOT NULL CHECK (length(prev) = 64),
    hash TEXT NOT NULL UNIQUE CHECK (length(hash) = 64),
    text TEXT NOT NULL,
    sum  INTEGER NOT NULL
) STRICT;

CREATE TRIGGER records_seq BEFORE INSERT ON records
WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM records)
BEGIN SELECT RAISE(ABORT, 'records are numbered without gaps'); END;

CREATE TRIGGER records_prev BEFORE INSERT ON records
WHEN NEW.prev <> coalesce((SELECT hash FROM records ORDER BY seq DESC LIMIT 1),
                          '0000000000000000000000000000000000000000000000000000000000000000')
BEGIN SELECT RAISE(ABORT, 'a record names the hash of the one before'); END;

CREATE TRIGGER records_stay BEFORE UPDATE ON records
BEGIN SELECT RAISE(ABORT, 'a record is never changed'); END;

CREATE TRIGGER records_remain BEFORE DELETE ON records
BEGIN SELECT RAISE(ABORT, 'a record is never deleted'); END;

-- One row. No row: the ledger is of no host yet.
CREATE TABLE numbers (
    id             INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    host           TEXT NOT NULL CHECK (host <> ''),
    incarnation    INTEGER NOT NULL CHECK (incarnation >= 0),
    wants_revision INTEGER NOT NULL CHECK (wants_revision >= 0),
    seq            INTEGER NOT NULL CHECK (seq >= 0),
    erasure_seq    INTEGER NOT NULL CHECK (erasure_seq >= 0),
    erasure_hash   TEXT NOT NULL,
    sum            INTEGER NOT NULL
) STRICT;

CREATE TRIGGER numbers_host BEFORE UPDATE ON numbers WHEN NEW.host <> OLD.host
BEGIN SELECT RAISE(ABORT, 'the ledger is of another host'); END;

CREATE TRIGGER numbers_grow BEFORE UPDATE ON numbers
WHEN NEW.incarnation < OLD.incarnation OR NEW.seq < OLD.seq
     OR (NEW.incarnation = OLD.incarnation AND NEW.wants_revision < OLD.wants_revision)
BEGIN SELECT RAISE(ABORT, 'a fencing number would go down'); END;

CREATE TRIGGER numbers_remain BEFORE DELETE ON numbers
BEGIN SELECT RAISE(ABORT, 'the numbers are never deleted'); END;

CREATE TRIGGER numbers_first BEFORE INSERT ON numbers
WHEN NEW.erasure_seq <> (SELECT coalesce(max(seq), 0) FROM records)
     OR NEW.erasure_hash <> coalesce((SELECT hash FROM records ORDER BY seq DESC LIMIT 1), '')
BEGIN SELECT RAISE(ABORT, 'the newest erasure is not the newest record'); END;

CREATE TRIGGER numbers_newest BEFORE UPDATE ON numbers
WHEN NEW.erasure_seq <> (SELECT coalesce(max(seq), 0) FROM records)
     OR NEW.erasure_hash <> coalesce((SELECT hash FROM records ORDER BY seq DESC LIMIT 1), '')
BEGIN SELECT RAISE(ABORT, 'the newest erasure is not the newest record'); END;

CREATE TABLE drives (
    key   TEXT NOT NULL PRIMARY KEY CHECK (key <> ''),
    adopt TEXT NOT NULL CHECK (adopt IN ('checking', 'cutting', 'adopted', 'refused', 'fault', 'missing')),
    doc   TEXT NOT NULL,
    sum   INTEGER NOT NULL
) STRICT;

-- Slices that were deleted. Their ids are never used again.
CREATE TABLE retired (
    key TEXT NOT NULL PRIMARY KEY,
    doc TEXT NOT NULL,
    sum INTEGER NOT NULL
) STRICT;

CREATE TRIGGER retired_stay BEFORE UPDATE ON retired
BEGIN SELECT RAISE(ABORT, 'a retired slice is never changed'); END;

CREATE TRIGGER retired_remain BEFORE DELETE ON retired
BEGIN SELECT RAISE(ABORT, 'a retired slice is never forgotten'); END;

CREATE TABLE slices (
    key          TEXT NOT NULL PRIMARY KEY CHECK (key <> ''),
    state        TEXT NOT NULL CHECK (state IN ('blank', 'erasing', 'verifying', 'free', 'claimed', 'attached', 'dirty',
                                                'quarantined')),
    generation   INTEGER NOT NULL CHECK (generation >= 0),
    owner        TEXT CHECK (owner <> ''),
    attached_seq INTEGER NOT NULL CHECK (attached_seq >= 0),
    erased_seq   INTEGER NOT NULL CHECK (erased_seq >= 0),
    doc          TEXT NOT NULL,
    sum          INTEGER NOT NULL,
    CHECK (state NOT IN ('free', 'claimed') OR erased_seq > attached_seq),
    CHECK (state <> 'attached' OR (attached_seq > erased_seq AND erased_seq > 0)),
    CHECK (state NOT IN ('claimed', 'attached') OR owner IS NOT NULL),
    CHECK (owner IS NULL OR state IN ('claimed', 'attached', 'quarantined'))
) STRICT;

CREATE TRIGGER slices_new BEFORE INSERT ON slices WHEN EXISTS (SELECT 1 FROM retired WHERE key = NEW.key)
BEGIN SELECT RAISE(ABORT, 'a slice of this id was retired'); END;

CREATE TRIGGER slices_grow BEFORE UPDATE ON slices
WHEN NEW.generation < OLD.generation OR NEW.attached_seq < OLD.attached_seq OR NEW.erased_seq < OLD.erased_seq
BEGIN SELECT RAISE(ABORT, 'a fencing number would go down'); END;

-- One save may hold several steps of a slice, so states between may be missing; the proof may not.
CREATE TRIGGER slices_clean BEFORE UPDATE ON slices
WHEN NEW.state IN ('free', 'claimed', 'attached') AND OLD.state NOT IN ('free', 'claimed', 'attached')
     AND (OLD.state NOT IN ('erasing', 'verifying') OR NEW.erased_seq <= OLD.erased_seq)
BEGIN SELECT RAISE(ABORT, 'it was not erased'); END;

CREATE TRIGGER slices_retire BEFORE DELETE ON slices WHEN NOT EXISTS (SELECT 1 FROM retired WHERE key = OLD.key)
BEGIN SELECT RAISE(ABORT, 'a slice is retired, not deleted'); END;

CREATE TABLE vms (
    key TEXT NOT NULL PRIMARY KEY CHECK (key <> ''),
    doc TEXT NOT NULL,
    sum INTEGER NOT NULL
) STRICT;
