-- The one row of what belongs to the installation as a whole.
CREATE TABLE installation (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    master_key_check BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE projects (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    secret_prefix TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL
);

-- The scopes that projects registered. Built-in scopes are not stored.
CREATE TABLE scopes (
    project TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    plain TEXT COLLATE "C" NOT NULL,
    spelling TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (project, plain)
);

CREATE TABLE keys (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    project TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    environment TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    alias TEXT COLLATE "C",
    description TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C",
    metadata TEXT COLLATE "C" NOT NULL,
    recoverable BOOLEAN NOT NULL,
    hint TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT,
    rotated_at BIGINT,
    rotation_mode TEXT COLLATE "C",
    grace_micros BIGINT,
    old_expires_at BIGINT,
    created_by TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    suspended_at BIGINT,
    revoked_at BIGINT,
    version BIGINT NOT NULL,
    CHECK ((rotated_at IS NULL) = (rotation_mode IS NULL) AND (rotated_at IS NULL) = (grace_micros IS NULL)),
    CHECK (old_expires_at IS NULL OR rotated_at IS NOT NULL)
);

CREATE UNIQUE INDEX keys_one_per_alias ON keys (project, environment, alias)
    WHERE alias IS NOT NULL AND revoked_at IS NULL;
-- One index for each filter of the list; the id comes last, because lists are in its order.
CREATE INDEX keys_listed ON keys (project, environment, id);
CREATE INDEX keys_listed_by_kind ON keys (project, environment, kind, id);
CREATE INDEX keys_listed_by_owner ON keys (project, environment, owner, id) WHERE owner IS NOT NULL;
CREATE INDEX keys_listed_by_alias ON keys (project, environment, alias, id) WHERE alias IS NOT NULL;
CREATE INDEX keys_listed_revoked ON keys (project, environment, id) WHERE revoked_at IS NOT NULL;
CREATE INDEX keys_listed_suspended ON keys (project, environment, id)
    WHERE suspended_at IS NOT NULL AND revoked_at IS NULL;
CREATE INDEX keys_listed_ending ON keys (project, environment, id) WHERE expires_at IS NOT NULL AND revoked_at IS NULL;
CREATE INDEX keys_listed_unsuspended ON keys (project, environment, id)
    WHERE suspended_at IS NULL AND revoked_at IS NULL;
CREATE INDEX keys_recent ON keys (updated_at, id) WHERE revoked_at IS NULL;

-- What is presented, hashed. A key has one current secret and at most one that still works after a rotation.
CREATE TABLE key_secrets (
    hash BYTEA NOT NULL PRIMARY KEY,
    key_id TEXT COLLATE "C" NOT NULL REFERENCES keys (id),
    pepper BIGINT NOT NULL,
    role TEXT COLLATE "C" NOT NULL CHECK (role IN ('current', 'previous')),
    sealed BYTEA
);

CREATE UNIQUE INDEX key_secrets_by_key ON key_secrets (key_id, role);

CREATE TABLE key_scopes (
    key_id TEXT COLLATE "C" NOT NULL REFERENCES keys (id),
    plain TEXT COLLATE "C" NOT NULL,
    spelling TEXT COLLATE "C" NOT NULL,
    project TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (key_id, plain)
);

CREATE INDEX key_scopes_by_scope ON key_scopes (project, plain, key_id);

CREATE TABLE key_allowed_ips (
    key_id TEXT COLLATE "C" NOT NULL REFERENCES keys (id),
    ip_range TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (key_id, ip_range)
);

-- Everything that can turn a decision, in commit order.
CREATE TABLE changes (
    revision BIGINT NOT NULL PRIMARY KEY,
    project TEXT COLLATE "C" NOT NULL,
    environment TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    hashes BYTEA NOT NULL,
    occurred_at BIGINT NOT NULL
);

CREATE INDEX changes_of_environment ON changes (project, environment, revision);

-- The last revision given, and the last one pruned. Whoever takes a revision holds this row until it commits.
CREATE TABLE change_counter (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    revision BIGINT NOT NULL,
    pruned_to BIGINT NOT NULL
);

INSERT INTO change_counter (id, revision, pruned_to) VALUES (1, 0, 0);

CREATE TABLE idempotency (
    project TEXT COLLATE "C" NOT NULL,
    environment TEXT COLLATE "C" NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    idempotency_key TEXT COLLATE "C" NOT NULL,
    fingerprint BYTEA NOT NULL,
    answer BYTEA NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (project, environment, actor, idempotency_key)
);

CREATE INDEX idempotency_ending ON idempotency (expires_at);

CREATE TABLE audit_events (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    project TEXT COLLATE "C" NOT NULL,
    actor TEXT COLLATE "C",
    action TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C",
    client_ip TEXT COLLATE "C",
    occurred_at BIGINT NOT NULL
);

CREATE INDEX audit_events_listed ON audit_events (project, id);

-- `seq` counts up with every product: lists and searches are in its order.
CREATE TABLE products (
    seq BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    project TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    environment TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    price_amount TEXT COLLATE "C",
    price_currency TEXT COLLATE "C",
    active BOOLEAN NOT NULL,
    metadata TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT,
    version BIGINT NOT NULL,
    CHECK ((price_amount IS NULL) = (price_currency IS NULL))
);

CREATE INDEX products_listed ON products (project, environment, seq) WHERE deleted_at IS NULL;
CREATE INDEX products_listed_by_active ON products (project, environment, active, seq) WHERE deleted_at IS NULL;

CREATE TABLE product_tags (
    product BIGINT NOT NULL REFERENCES products (seq),
    place BIGINT NOT NULL,
    tag TEXT COLLATE "C" NOT NULL,
    project TEXT COLLATE "C" NOT NULL,
    environment TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (product, place)
);

CREATE INDEX product_tags_by_tag ON product_tags (project, environment, tag, product);

-- The words of each product, by `products.seq`. They are cut in the domain.
CREATE TABLE product_words (
    product BIGINT NOT NULL PRIMARY KEY REFERENCES products (seq),
    words TSVECTOR NOT NULL
);

CREATE INDEX product_words_found ON product_words USING gin (words);
