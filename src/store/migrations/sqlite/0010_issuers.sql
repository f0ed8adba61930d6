-- Whose tokens say who the users are. `audiences` is a JSON list, `algorithms` a list of words. Without an address and without
-- keys, they are where the issuer's own description says.
CREATE TABLE issuers (
    id TEXT NOT NULL PRIMARY KEY,
    project TEXT NOT NULL REFERENCES projects (id),
    environment TEXT NOT NULL,
    issuer TEXT NOT NULL,
    display_name TEXT NOT NULL,
    description TEXT NOT NULL,
    jwks_uri TEXT,
    jwks TEXT,
    audiences TEXT NOT NULL,
    algorithms TEXT NOT NULL,
    email_claim TEXT NOT NULL,
    first_name_claim TEXT NOT NULL,
    last_name_claim TEXT NOT NULL,
    leeway_micros INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX issuers_by_name ON issuers (project, environment, issuer);
CREATE INDEX issuers_listed ON issuers (project, environment, id);

-- Which user an issuer means. It outlives the issuer's row: the name is what the user belongs to.
CREATE TABLE identities (
    project TEXT NOT NULL,
    environment TEXT NOT NULL,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (project, environment, issuer, subject)
) STRICT, WITHOUT ROWID;

CREATE INDEX identities_of_user ON identities (user_id);
