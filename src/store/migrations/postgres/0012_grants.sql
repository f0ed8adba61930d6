-- What users agreed to. Scopes and audiences are words parted by spaces: nothing is searched by them.
CREATE TABLE grants (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    project TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    environment TEXT COLLATE "C" NOT NULL,
    client_id TEXT COLLATE "C" NOT NULL REFERENCES clients (id),
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    scopes TEXT COLLATE "C" NOT NULL,
    resources TEXT COLLATE "C" NOT NULL,
    authenticated_at BIGINT NOT NULL,
    nonce TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);

CREATE INDEX grants_of_client ON grants (client_id, id);
CREATE INDEX grants_of_user ON grants (user_id, id);
CREATE INDEX grants_of_project ON grants (project, id);
CREATE INDEX grants_ending ON grants (expires_at);

CREATE TABLE authorization_codes (
    hash BYTEA NOT NULL PRIMARY KEY,
    grant_id TEXT COLLATE "C" NOT NULL REFERENCES grants (id),
    redirect_uri TEXT COLLATE "C" NOT NULL,
    redirect_uri_named BOOLEAN NOT NULL,
    challenge BYTEA,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);

CREATE INDEX authorization_codes_of_grant ON authorization_codes (grant_id);

-- `successor` and `successor_access` are the tokens that its use gave.
CREATE TABLE refresh_tokens (
    hash BYTEA NOT NULL PRIMARY KEY,
    grant_id TEXT COLLATE "C" NOT NULL REFERENCES grants (id),
    idle_until BIGINT NOT NULL,
    spent_at BIGINT,
    successor BYTEA,
    successor_access BYTEA,
    CHECK ((spent_at IS NULL) = (successor IS NULL) AND (spent_at IS NULL) = (successor_access IS NULL))
);

CREATE INDEX refresh_tokens_of_grant ON refresh_tokens (grant_id);
CREATE INDEX refresh_tokens_ending ON refresh_tokens (idle_until);

CREATE TABLE access_tokens (
    hash BYTEA NOT NULL PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL,
    project TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    environment TEXT COLLATE "C" NOT NULL,
    client_id TEXT COLLATE "C" NOT NULL REFERENCES clients (id),
    user_id TEXT COLLATE "C" REFERENCES users (id),
    grant_id TEXT COLLATE "C" REFERENCES grants (id),
    scopes TEXT COLLATE "C" NOT NULL,
    audiences TEXT COLLATE "C" NOT NULL,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    waits BOOLEAN NOT NULL
);

CREATE INDEX access_tokens_of_grant ON access_tokens (grant_id) WHERE grant_id IS NOT NULL;
CREATE INDEX access_tokens_of_user ON access_tokens (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX access_tokens_of_client ON access_tokens (client_id);
CREATE INDEX access_tokens_of_project ON access_tokens (project);
CREATE INDEX access_tokens_ending ON access_tokens (expires_at);

-- What users agreed to lately, so that they are not asked the same again.
CREATE TABLE consents (
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    client_id TEXT COLLATE "C" NOT NULL REFERENCES clients (id),
    scopes TEXT COLLATE "C" NOT NULL,
    given_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, client_id)
);

CREATE INDEX consents_of_client ON consents (client_id);
