-- Access tokens lie in the order in which they were stored, and their hashes in an index. A table that is ordered by hash has
-- each new token on a page of its own, and each index of it another: all of them are read, and written to the log.
CREATE TABLE token_rows (
    hash BLOB NOT NULL PRIMARY KEY,
    id TEXT NOT NULL,
    project TEXT NOT NULL REFERENCES projects (id),
    environment TEXT NOT NULL,
    client_id TEXT NOT NULL REFERENCES clients (id),
    user_id TEXT REFERENCES users (id),
    grant_id TEXT REFERENCES grants (id),
    scopes TEXT NOT NULL,
    audiences TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER,
    waits INTEGER NOT NULL,
    jkt BLOB,
    subject BLOB,
    subject_kind TEXT
) STRICT;

INSERT INTO token_rows (hash, id, project, environment, client_id, user_id, grant_id, scopes, audiences, issued_at, expires_at,
    revoked_at, waits, jkt, subject, subject_kind)
SELECT hash, id, project, environment, client_id, user_id, grant_id, scopes, audiences, issued_at, expires_at,
    revoked_at, waits, jkt, subject, subject_kind
FROM access_tokens
ORDER BY issued_at;

DROP TABLE access_tokens;
ALTER TABLE token_rows RENAME TO access_tokens;

CREATE INDEX access_tokens_of_grant ON access_tokens (grant_id) WHERE grant_id IS NOT NULL;
CREATE INDEX access_tokens_of_user ON access_tokens (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX access_tokens_of_client ON access_tokens (client_id);
CREATE INDEX access_tokens_of_project ON access_tokens (project);
CREATE INDEX access_tokens_ending ON access_tokens (expires_at);
