-- How many calls a key may make in how long: its own limits, and those that a project gives to all keys of a type.
CREATE TABLE key_rate_limits (
    key_id TEXT NOT NULL REFERENCES keys (id),
    name TEXT NOT NULL,
    calls INTEGER NOT NULL,
    window_micros INTEGER NOT NULL,
    shared INTEGER NOT NULL,
    PRIMARY KEY (key_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE project_rate_limits (
    project TEXT NOT NULL REFERENCES projects (id),
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    calls INTEGER NOT NULL,
    window_micros INTEGER NOT NULL,
    shared INTEGER NOT NULL,
    PRIMARY KEY (project, kind, name)
) STRICT, WITHOUT ROWID;

-- What was spent of limits, by key or owner: when everything has come back, in microseconds and in parts of one, `calls` of
-- which make one. A row is worth nothing from then on.
CREATE TABLE spent_limits (
    bucket TEXT NOT NULL PRIMARY KEY,
    project TEXT NOT NULL,
    calls INTEGER NOT NULL,
    window_micros INTEGER NOT NULL,
    whole_at INTEGER NOT NULL,
    part INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX spent_limits_whole ON spent_limits (whole_at);
CREATE INDEX spent_limits_of_project ON spent_limits (project);
