-- What is kept of the passwords of users, as PHC strings: apart from the users, so that nothing that reads those reads it along.
CREATE TABLE passwords (
    user_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES users (id),
    project TEXT COLLATE "C" NOT NULL,
    phc TEXT COLLATE "C" NOT NULL,
    changed_at BIGINT NOT NULL
);

CREATE INDEX passwords_of_project ON passwords (project, user_id);

-- Users who signed in, by the hash of their token. Rows stay for a while after the end, so that it can be told.
CREATE TABLE sessions (
    hash BYTEA NOT NULL PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    project TEXT COLLATE "C" NOT NULL,
    environment TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    client_ip TEXT COLLATE "C",
    user_agent TEXT COLLATE "C" NOT NULL
);

CREATE INDEX sessions_of_user ON sessions (user_id, id);
CREATE INDEX sessions_of_project ON sessions (project, id);
CREATE INDEX sessions_by_end ON sessions (expires_at);
