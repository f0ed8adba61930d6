-- How many calls a key may make in how long: its own limits, and those that a project gives to all keys of a type.
CREATE TABLE key_rate_limits (
    key_id TEXT COLLATE "C" NOT NULL REFERENCES keys (id),
    name TEXT COLLATE "C" NOT NULL,
    calls BIGINT NOT NULL,
    window_micros BIGINT NOT NULL,
    shared BOOLEAN NOT NULL,
    PRIMARY KEY (key_id, name)
);

CREATE TABLE project_rate_limits (
    project TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    kind TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    calls BIGINT NOT NULL,
    window_micros BIGINT NOT NULL,
    shared BOOLEAN NOT NULL,
    PRIMARY KEY (project, kind, name)
);

-- What was spent of limits, by key or owner: when everything has come back, in microseconds and in parts of one, `calls` of
-- which make one. A row is worth nothing from then on.
CREATE TABLE spent_limits (
    bucket TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    project TEXT COLLATE "C" NOT NULL,
    calls BIGINT NOT NULL,
    window_micros BIGINT NOT NULL,
    whole_at BIGINT NOT NULL,
    part BIGINT NOT NULL
);

CREATE INDEX spent_limits_whole ON spent_limits (whole_at);
CREATE INDEX spent_limits_of_project ON spent_limits (project);
