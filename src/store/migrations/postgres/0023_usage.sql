-- How often credentials were used. A call is counted in three rows, one for each grain (minute, hour, day), so that each answers
-- and ends by itself. `key_id`, `client_id` and `user_id` say whose it was and are empty where there is none; `project` and
-- `environment` are empty for what nobody knows, and `method` where it is not told apart.
CREATE TABLE usage_counts (
    project TEXT COLLATE "C" NOT NULL,
    environment TEXT COLLATE "C" NOT NULL,
    grain TEXT COLLATE "C" NOT NULL,
    began_at BIGINT NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    client_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    method TEXT COLLATE "C" NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL,
    calls BIGINT NOT NULL,
    PRIMARY KEY (project, environment, grain, began_at, key_id, client_id, user_id, method, outcome)
);

CREATE INDEX usage_counts_of_key ON usage_counts (project, environment, grain, key_id, began_at);
CREATE INDEX usage_counts_ended ON usage_counts (grain, began_at);

-- Who called when, and from where: one row for all calls of a minute that are alike. `id` is the hash of what makes them alike,
-- so that every node adds to the same row; `address` has 16 bytes (IPv4 as mapped), or none where it is not known or there were
-- too many.
CREATE TABLE access_log (
    id BYTEA NOT NULL PRIMARY KEY,
    project TEXT COLLATE "C" NOT NULL,
    environment TEXT COLLATE "C" NOT NULL,
    minute BIGINT NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    client_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    method TEXT COLLATE "C" NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL,
    address BYTEA NOT NULL,
    calls BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    user_agent TEXT COLLATE "C"
);

CREATE INDEX access_log_listed ON access_log (project, environment, minute, id);
CREATE INDEX access_log_listed_by_key ON access_log (project, environment, key_id, minute, id);
CREATE INDEX access_log_listed_by_outcome ON access_log (project, environment, outcome, minute, id);
CREATE INDEX access_log_ended ON access_log (minute);

-- When each key was accepted last, and where.
CREATE TABLE key_uses (
    key_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    project TEXT COLLATE "C" NOT NULL,
    used_at BIGINT NOT NULL,
    address BYTEA NOT NULL,
    user_agent TEXT COLLATE "C"
);

CREATE INDEX key_uses_of_project ON key_uses (project, key_id);
