-- Whether a key lies somewhere for whoever has no business there.
ALTER TABLE keys ADD COLUMN honey INTEGER NOT NULL DEFAULT 0;

-- What projects said about alerts; of a kind without a row its defaults hold.
CREATE TABLE alert_rules (
    project TEXT NOT NULL REFERENCES projects (id),
    kind TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    threshold INTEGER NOT NULL,
    floor INTEGER NOT NULL,
    window_micros INTEGER NOT NULL,
    cooldown_micros INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (project, kind)
) STRICT, WITHOUT ROWID;

-- What projects were told. `subject` is a key, or what leaked; empty where it is about what nobody knows. `address` is as in the
-- access log.
CREATE TABLE alerts (
    id TEXT NOT NULL PRIMARY KEY,
    project TEXT NOT NULL,
    environment TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    owner TEXT,
    observed INTEGER NOT NULL,
    threshold INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    address BLOB NOT NULL,
    user_agent TEXT,
    method TEXT,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    message TEXT NOT NULL
) STRICT;

CREATE INDEX alerts_listed ON alerts (project, environment, id);
CREATE INDEX alerts_of_kind ON alerts (project, environment, kind, id);
CREATE INDEX alerts_of_subject ON alerts (project, environment, subject, id);
CREATE INDEX alerts_ended ON alerts (last_at);

-- What was told and is not told again until then, and by which alert: all nodes claim it here, and find it after a restart.
CREATE TABLE alert_claims (
    project TEXT NOT NULL,
    environment TEXT NOT NULL,
    kind TEXT NOT NULL,
    claim TEXT NOT NULL,
    alert_id TEXT NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (project, environment, kind, claim)
) STRICT, WITHOUT ROWID;

CREATE INDEX alert_claims_ended ON alert_claims (until);

-- What the rules compare the calls of a key with; of an empty `key_id`, those with what nobody knows. `refusals` (up to 60 minutes)
-- and `networks` (up to 64) are only ever read and written whole.
CREATE TABLE alert_watch (
    project TEXT NOT NULL,
    environment TEXT NOT NULL,
    key_id TEXT NOT NULL,
    minute INTEGER,
    calls INTEGER NOT NULL,
    average INTEGER NOT NULL,
    history INTEGER NOT NULL,
    used_at INTEGER,
    refusals TEXT NOT NULL,
    networks TEXT NOT NULL,
    PRIMARY KEY (project, environment, key_id)
) STRICT, WITHOUT ROWID;

-- A key that was dormant before is dormant.
INSERT INTO alert_watch (project, environment, key_id, calls, average, history, used_at, refusals, networks)
    SELECT k.project, k.environment, k.id, 0, 0, 0, u.used_at, '', '' FROM key_uses u JOIN keys k ON k.id = u.key_id;

-- Keys in the order in which they end.
CREATE INDEX keys_ending ON keys (expires_at, id) WHERE revoked_at IS NULL;
