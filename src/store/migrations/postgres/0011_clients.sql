-- OAuth clients. A deleted client keeps its row, for what names it; its secrets, scopes and lists are gone.
CREATE TABLE clients (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    project TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    environment TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    logo_uri TEXT COLLATE "C",
    authentication TEXT COLLATE "C" NOT NULL,
    token_format TEXT COLLATE "C" NOT NULL,
    access_token_micros BIGINT NOT NULL,
    refresh_token_idle_micros BIGINT NOT NULL,
    refresh_token_micros BIGINT NOT NULL,
    require_pkce BOOLEAN NOT NULL,
    dpop_bound BOOLEAN NOT NULL,
    secret_hint TEXT COLLATE "C",
    secret_created_at BIGINT,
    old_secret_hint TEXT COLLATE "C",
    old_secret_created_at BIGINT,
    old_secret_expires_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT,
    version BIGINT NOT NULL,
    CHECK ((kind = 'public') = (authentication = 'none')),
    CHECK ((secret_hint IS NULL) = (secret_created_at IS NULL)),
    CHECK ((old_secret_hint IS NULL) = (old_secret_created_at IS NULL)),
    CHECK ((old_secret_hint IS NULL) = (old_secret_expires_at IS NULL))
);

CREATE INDEX clients_listed ON clients (project, environment, id) WHERE deleted_at IS NULL;
CREATE INDEX clients_of_project ON clients (project, id);

-- What is presented, hashed. A client has one current secret and at most one that still works after a rotation.
CREATE TABLE client_secrets (
    hash BYTEA NOT NULL PRIMARY KEY,
    client_id TEXT COLLATE "C" NOT NULL REFERENCES clients (id),
    pepper BIGINT NOT NULL,
    role TEXT COLLATE "C" NOT NULL CHECK (role IN ('current', 'previous'))
);

CREATE UNIQUE INDEX client_secrets_by_client ON client_secrets (client_id, role);

-- The scopes of the registry; those of OpenID Connect are in `client_lists`.
CREATE TABLE client_scopes (
    client_id TEXT COLLATE "C" NOT NULL REFERENCES clients (id),
    plain TEXT COLLATE "C" NOT NULL,
    spelling TEXT COLLATE "C" NOT NULL,
    project TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (client_id, plain)
);

CREATE INDEX client_scopes_by_scope ON client_scopes (project, plain, client_id);

-- The other lists of a client: URIs and words, none of which holds a space.
CREATE TABLE client_lists (
    client_id TEXT COLLATE "C" NOT NULL REFERENCES clients (id),
    list TEXT COLLATE "C" NOT NULL,
    place BIGINT NOT NULL,
    entry TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (client_id, list, place)
);
