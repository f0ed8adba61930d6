-- OAuth clients. A deleted client keeps its row, for what names it; its secrets, scopes and lists are gone.
CREATE TABLE clients (
    id TEXT NOT NULL PRIMARY KEY,
    project TEXT NOT NULL REFERENCES projects (id),
    environment TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    logo_uri TEXT,
    authentication TEXT NOT NULL,
    token_format TEXT NOT NULL,
    access_token_micros INTEGER NOT NULL,
    refresh_token_idle_micros INTEGER NOT NULL,
    refresh_token_micros INTEGER NOT NULL,
    require_pkce INTEGER NOT NULL,
    dpop_bound INTEGER NOT NULL,
    secret_hint TEXT,
    secret_created_at INTEGER,
    old_secret_hint TEXT,
    old_secret_created_at INTEGER,
    old_secret_expires_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER,
    version INTEGER NOT NULL,
    CHECK ((kind = 'public') = (authentication = 'none')),
    CHECK ((secret_hint IS NULL) = (secret_created_at IS NULL)),
    CHECK ((old_secret_hint IS NULL) = (old_secret_created_at IS NULL)),
    CHECK ((old_secret_hint IS NULL) = (old_secret_expires_at IS NULL))
) STRICT;

CREATE INDEX clients_listed ON clients (project, environment, id) WHERE deleted_at IS NULL;
CREATE INDEX clients_of_project ON clients (project, id);

-- What is presented, hashed. A client has one current secret and at most one that still works after a rotation.
CREATE TABLE client_secrets (
    hash BLOB NOT NULL PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES clients (id),
    pepper INTEGER NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('current', 'previous'))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX client_secrets_by_client ON client_secrets (client_id, role);

-- The scopes of the registry; those of OpenID Connect are in `client_lists`.
CREATE TABLE client_scopes (
    client_id TEXT NOT NULL REFERENCES clients (id),
    plain TEXT NOT NULL,
    spelling TEXT NOT NULL,
    project TEXT NOT NULL,
    PRIMARY KEY (client_id, plain)
) STRICT, WITHOUT ROWID;

CREATE INDEX client_scopes_by_scope ON client_scopes (project, plain, client_id);

-- The other lists of a client: URIs and words, none of which holds a space.
CREATE TABLE client_lists (
    client_id TEXT NOT NULL REFERENCES clients (id),
    list TEXT NOT NULL,
    place INTEGER NOT NULL,
    entry TEXT NOT NULL,
    PRIMARY KEY (client_id, list, place)
) STRICT, WITHOUT ROWID;
