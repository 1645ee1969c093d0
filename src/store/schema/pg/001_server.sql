-- The server's database in PostgreSQL: what ../001_server.sql says, in its words.
--   * Any number of servers use it at once, each transaction SERIALIZABLE.
--   * Texts compare by bytes (COLLATE "C"), so that rows come in the same order from every back end.
--   * No checksum a row: that is the cluster's (initdb --data-checksums).
--   * SQLSTATE NS001: a rule of this file, its text shown to people.

CREATE TABLE meta (
    key text COLLATE "C" PRIMARY KEY CHECK (key <> ''),
    doc text NOT NULL
);

CREATE TABLE hosts (
    key            text COLLATE "C" PRIMARY KEY CHECK (key <> ''),
    registration   bigint NOT NULL CHECK (registration >= 0),
    wants_revision bigint NOT NULL CHECK (wants_revision >= 0),
    doc            text NOT NULL
);

CREATE TABLE drives (
    key  text COLLATE "C" PRIMARY KEY CHECK (starts_with(key, host || '/')),
    host text COLLATE "C" NOT NULL CHECK (host <> ''),
    doc  text NOT NULL
);
CREATE INDEX drives_by_host ON drives (host, key);

CREATE TABLE claims (
    key   text COLLATE "C" PRIMARY KEY CHECK (key <> ''),
    host  text COLLATE "C" NOT NULL CHECK (host <> ''),
    vm    text COLLATE "C" CHECK (vm <> ''),
    state text NOT NULL CHECK (state IN ('granted', 'ready', 'releasing')),
    doc   text NOT NULL
);
CREATE INDEX claims_by_host ON claims (host, key);

CREATE TABLE slices (
    key             text COLLATE "C" PRIMARY KEY CHECK (key <> ''),
    host            text COLLATE "C" NOT NULL CHECK (host <> ''),
    generation      bigint NOT NULL CHECK (generation >= seen_generation),
    seen_generation bigint NOT NULL CHECK (seen_generation >= 0),
    claim           text COLLATE "C" CHECK (claim <> '') REFERENCES claims (key) DEFERRABLE INITIALLY DEFERRED,
    state           text NOT NULL CHECK (state IN ('absent', 'blank', 'erasing', 'verifying', 'free', 'claimed',
                                                   'attached', 'dirty', 'quarantined')),
    doc             text NOT NULL
);
CREATE INDEX slices_by_host ON slices (host, key);
CREATE INDEX slices_by_claim ON slices (claim, key) WHERE claim IS NOT NULL;

CREATE TABLE classes (
    key           text COLLATE "C" PRIMARY KEY CHECK (key <> ''),
    nominal_bytes bigint NOT NULL CHECK (nominal_bytes > 0),
    doc           text NOT NULL
);

CREATE TABLE flavors (
    key   text COLLATE "C" PRIMARY KEY CHECK (key <> ''),
    class text NOT NULL CHECK (class <> ''),
    doc   text NOT NULL
);

CREATE TABLE vms (
    key   text COLLATE "C" PRIMARY KEY CHECK (key <> ''),
    host  text COLLATE "C" CHECK (host <> ''),
    uuid  text COLLATE "C" UNIQUE CHECK (uuid <> ''),
    claim text COLLATE "C" UNIQUE CHECK (claim <> ''),
    power text NOT NULL CHECK (power IN ('off', 'running', 'paused', 'gone')),
    doc   text NOT NULL
);
CREATE INDEX vms_by_host ON vms (host, key);

CREATE TABLE erasures (
    key     text COLLATE "C" PRIMARY KEY CHECK (key <> ''),
    host    text COLLATE "C" NOT NULL CHECK (host <> ''),
    seq     bigint NOT NULL CHECK (seq > 0),
    slice   text COLLATE "C" NOT NULL CHECK (slice <> ''),
    verdict text NOT NULL CHECK (verdict IN ('unfinished', 'verified', 'not-erased', 'failed', 'unverifiable', 'refused')),
    doc     text NOT NULL,
    UNIQUE (host, seq)
);
CREATE INDEX erasures_by_host ON erasures (host, key);
CREATE INDEX erasures_by_slice ON erasures (slice, key);

CREATE TABLE requests (
    key       text COLLATE "C" PRIMARY KEY CHECK (key <> ''),
    body_hash text NOT NULL CHECK (body_hash <> ''),
    status    bigint NOT NULL,
    doc       text NOT NULL
);

CREATE FUNCTION hosts_rule() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.registration < OLD.registration THEN
        RAISE EXCEPTION 'its registration would go down' USING ERRCODE = 'NS001';
    ELSIF NEW.wants_revision < OLD.wants_revision THEN
        RAISE EXCEPTION 'its revision would go down' USING ERRCODE = 'NS001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER hosts_rule BEFORE UPDATE ON hosts FOR EACH ROW EXECUTE FUNCTION hosts_rule();

CREATE FUNCTION slices_rule() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.claim IS NOT NULL THEN
            RAISE EXCEPTION 'a claim holds it' USING ERRCODE = 'NS001';
        END IF;
        RETURN OLD;
    ELSIF NEW.generation < OLD.generation THEN
        RAISE EXCEPTION 'its generation would go down' USING ERRCODE = 'NS001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER slices_rule BEFORE UPDATE OR DELETE ON slices FOR EACH ROW EXECUTE FUNCTION slices_rule();

CREATE FUNCTION erasures_rule() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'an erasure is never deleted' USING ERRCODE = 'NS001';
    ELSIF (OLD.*) IS DISTINCT FROM (NEW.*) THEN
        RAISE EXCEPTION 'an erasure is never changed' USING ERRCODE = 'NS001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER erasures_rule BEFORE UPDATE OR DELETE ON erasures FOR EACH ROW EXECUTE FUNCTION erasures_rule();

CREATE FUNCTION requests_rule() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.body_hash <> OLD.body_hash THEN
        RAISE EXCEPTION 'its body would change' USING ERRCODE = 'NS001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER requests_rule BEFORE UPDATE ON requests FOR EACH ROW EXECUTE FUNCTION requests_rule();
