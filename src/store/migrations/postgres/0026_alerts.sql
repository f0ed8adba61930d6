-- Whether a key lies somewhere for whoever has no business there.
ALTER TABLE keys ADD COLUMN honey BOOLEAN NOT NULL DEFAULT FALSE;

-- What projects said about alerts; of a kind without a row its defaults hold.
CREATE TABLE alert_rules (
    project TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    kind TEXT COLLATE "C" NOT NULL,
    enabled BOOLEAN NOT NULL,
    threshold BIGINT NOT NULL,
    floor BIGINT NOT NULL,
    window_micros BIGINT NOT NULL,
    cooldown_micros BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (project, kind)
);

-- What projects were told. `subject` is a key, or what leaked; empty where it is about what nobody knows. `address` is as in the
-- access log.
CREATE TABLE alerts (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    project TEXT COLLATE "C" NOT NULL,
    environment TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C",
    observed BIGINT NOT NULL,
    threshold BIGINT NOT NULL,
    calls BIGINT NOT NULL,
    address BYTEA NOT NULL,
    user_agent TEXT COLLATE "C",
    method TEXT COLLATE "C",
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    message TEXT COLLATE "C" NOT NULL
);

CREATE INDEX alerts_listed ON alerts (project, environment, id);
CREATE INDEX alerts_of_kind ON alerts (project, environment, kind, id);
CREATE INDEX alerts_of_subject ON alerts (project, environment, subject, id);
CREATE INDEX alerts_ended ON alerts (last_at);

-- What was told and is not told again until then, and by which alert: all nodes claim it here, and find it after a restart.
CREATE TABLE alert_claims (
    project TEXT COLLATE "C" NOT NULL,
    environment TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    claim TEXT COLLATE "C" NOT NULL,
    alert_id TEXT COLLATE "C" NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (project, environment, kind, claim)
);

CREATE INDEX alert_claims_ended ON alert_claims (until);

-- What the rules compare the calls of a key with; of an empty `key_id`, those with what nobody knows. `refusals` (up to 60 minutes)
-- and `networks` (up to 64) are only ever read and written whole.
CREATE TABLE alert_watch (
    project TEXT COLLATE "C" NOT NULL,
    environment TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    minute BIGINT,
    calls BIGINT NOT NULL,
    average BIGINT NOT NULL,
    history BIGINT NOT NULL,
    used_at BIGINT,
    refusals TEXT COLLATE "C" NOT NULL,
    networks TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (project, environment, key_id)
);

-- A key that was dormant before is dormant.
INSERT INTO alert_watch (project, environment, key_id, calls, average, history, used_at, refusals, networks)
    SELECT k.project, k.environment, k.id, 0, 0, 0, u.used_at, '', '' FROM key_uses u JOIN keys k ON k.id = u.key_id;

-- Keys in the order in which they end.
CREATE INDEX keys_ending ON keys (expires_at, id) WHERE revoked_at IS NULL;
