-- What is kept of the passwords of users, as PHC strings: apart from the users, so that nothing that reads those reads it along.
CREATE TABLE passwords (
    user_id TEXT NOT NULL PRIMARY KEY REFERENCES users (id),
    project TEXT NOT NULL,
    phc TEXT NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;

CREATE INDEX passwords_of_project ON passwords (project, user_id);

-- Users who signed in, by the hash of their token. Rows stay for a while after the end, so that it can be told.
CREATE TABLE sessions (
    hash BLOB NOT NULL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    project TEXT NOT NULL,
    environment TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER,
    client_ip TEXT,
    user_agent TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_of_user ON sessions (user_id, id);
CREATE INDEX sessions_of_project ON sessions (project, id);
CREATE INDEX sessions_by_end ON sessions (expires_at);
