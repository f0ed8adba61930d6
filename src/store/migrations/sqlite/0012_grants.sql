-- What users agreed to. Scopes and audiences are words parted by spaces: nothing is searched by them.
CREATE TABLE grants (
    id TEXT NOT NULL PRIMARY KEY,
    project TEXT NOT NULL REFERENCES projects (id),
    environment TEXT NOT NULL,
    client_id TEXT NOT NULL REFERENCES clients (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    scopes TEXT NOT NULL,
    resources TEXT NOT NULL,
    authenticated_at INTEGER NOT NULL,
    nonce TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;

CREATE INDEX grants_of_client ON grants (client_id, id);
CREATE INDEX grants_of_user ON grants (user_id, id);
CREATE INDEX grants_of_project ON grants (project, id);
CREATE INDEX grants_ending ON grants (expires_at);

CREATE TABLE authorization_codes (
    hash BLOB NOT NULL PRIMARY KEY,
    grant_id TEXT NOT NULL REFERENCES grants (id),
    redirect_uri TEXT NOT NULL,
    redirect_uri_named INTEGER NOT NULL,
    challenge BLOB,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX authorization_codes_of_grant ON authorization_codes (grant_id);

-- `successor` and `successor_access` are the tokens that its use gave.
CREATE TABLE refresh_tokens (
    hash BLOB NOT NULL PRIMARY KEY,
    grant_id TEXT NOT NULL REFERENCES grants (id),
    idle_until INTEGER NOT NULL,
    spent_at INTEGER,
    successor BLOB,
    successor_access BLOB,
    CHECK ((spent_at IS NULL) = (successor IS NULL) AND (spent_at IS NULL) = (successor_access IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX refresh_tokens_of_grant ON refresh_tokens (grant_id);
CREATE INDEX refresh_tokens_ending ON refresh_tokens (idle_until);

CREATE TABLE access_tokens (
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
    waits INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX access_tokens_of_grant ON access_tokens (grant_id) WHERE grant_id IS NOT NULL;
CREATE INDEX access_tokens_of_user ON access_tokens (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX access_tokens_of_client ON access_tokens (client_id);
CREATE INDEX access_tokens_of_project ON access_tokens (project);
CREATE INDEX access_tokens_ending ON access_tokens (expires_at);

-- What users agreed to lately, so that they are not asked the same again.
CREATE TABLE consents (
    user_id TEXT NOT NULL REFERENCES users (id),
    client_id TEXT NOT NULL REFERENCES clients (id),
    scopes TEXT NOT NULL,
    given_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, client_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX consents_of_client ON consents (client_id);
