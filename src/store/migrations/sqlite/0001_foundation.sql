-- The one row of what belongs to the installation as a whole.
CREATE TABLE installation (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    master_key_check BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE projects (
    id TEXT NOT NULL PRIMARY KEY,
    secret_prefix TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- The scopes that projects registered. Built-in scopes are not stored.
CREATE TABLE scopes (
    project TEXT NOT NULL REFERENCES projects (id),
    plain TEXT NOT NULL,
    spelling TEXT NOT NULL,
    description TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (project, plain)
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    id TEXT NOT NULL PRIMARY KEY,
    project TEXT NOT NULL REFERENCES projects (id),
    environment TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    alias TEXT,
    description TEXT NOT NULL,
    owner TEXT,
    metadata TEXT NOT NULL,
    recoverable INTEGER NOT NULL,
    hint TEXT NOT NULL,
    expires_at INTEGER,
    rotated_at INTEGER,
    rotation_mode TEXT,
    grace_micros INTEGER,
    old_expires_at INTEGER,
    created_by TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    suspended_at INTEGER,
    revoked_at INTEGER,
    version INTEGER NOT NULL,
    CHECK ((rotated_at IS NULL) = (rotation_mode IS NULL) AND (rotated_at IS NULL) = (grace_micros IS NULL)),
    CHECK (old_expires_at IS NULL OR rotated_at IS NOT NULL)
) STRICT;

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
    hash BLOB NOT NULL PRIMARY KEY,
    key_id TEXT NOT NULL REFERENCES keys (id),
    pepper INTEGER NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('current', 'previous')),
    sealed BLOB
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX key_secrets_by_key ON key_secrets (key_id, role);

CREATE TABLE key_scopes (
    key_id TEXT NOT NULL REFERENCES keys (id),
    plain TEXT NOT NULL,
    spelling TEXT NOT NULL,
    project TEXT NOT NULL,
    PRIMARY KEY (key_id, plain)
) STRICT, WITHOUT ROWID;

CREATE INDEX key_scopes_by_scope ON key_scopes (project, plain, key_id);

CREATE TABLE key_allowed_ips (
    key_id TEXT NOT NULL REFERENCES keys (id),
    ip_range TEXT NOT NULL,
    PRIMARY KEY (key_id, ip_range)
) STRICT, WITHOUT ROWID;

-- Everything that can turn a decision, in commit order.
CREATE TABLE changes (
    revision INTEGER NOT NULL PRIMARY KEY,
    project TEXT NOT NULL,
    environment TEXT NOT NULL,
    key_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    hashes BLOB NOT NULL,
    occurred_at INTEGER NOT NULL
) STRICT;

CREATE INDEX changes_of_environment ON changes (project, environment, revision);

-- The last revision given, and the last one pruned. Whoever takes a revision holds this row until it commits.
CREATE TABLE change_counter (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL,
    pruned_to INTEGER NOT NULL
) STRICT;

INSERT INTO change_counter (id, revision, pruned_to) VALUES (1, 0, 0);

CREATE TABLE idempotency (
    project TEXT NOT NULL,
    environment TEXT NOT NULL,
    actor TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    answer BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (project, environment, actor, idempotency_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_ending ON idempotency (expires_at);

CREATE TABLE audit_events (
    id TEXT NOT NULL PRIMARY KEY,
    project TEXT NOT NULL,
    actor TEXT,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    request_id TEXT,
    client_ip TEXT,
    occurred_at INTEGER NOT NULL
) STRICT;

CREATE INDEX audit_events_listed ON audit_events (project, id);

-- `seq` counts up with every product: lists and searches are in its order.
CREATE TABLE products (
    seq INTEGER NOT NULL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    project TEXT NOT NULL REFERENCES projects (id),
    environment TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    price_amount TEXT,
    price_currency TEXT,
    active INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER,
    version INTEGER NOT NULL,
    CHECK ((price_amount IS NULL) = (price_currency IS NULL))
) STRICT;

CREATE INDEX products_listed ON products (project, environment, seq) WHERE deleted_at IS NULL;
CREATE INDEX products_listed_by_active ON products (project, environment, active, seq) WHERE deleted_at IS NULL;

CREATE TABLE product_tags (
    product INTEGER NOT NULL REFERENCES products (seq),
    place INTEGER NOT NULL,
    tag TEXT NOT NULL,
    project TEXT NOT NULL,
    environment TEXT NOT NULL,
    PRIMARY KEY (product, place)
) STRICT, WITHOUT ROWID;

CREATE INDEX product_tags_by_tag ON product_tags (project, environment, tag, product);

-- The words of each product, by `products.seq` as the row id. They are cut in the domain, so the tokenizer only has to
-- part them at the spaces between them: for `ascii`, every character above 127 belongs to a word.
CREATE VIRTUAL TABLE product_words USING fts5 (
    words, content = '', contentless_delete = 1, detail = 'none', tokenize = 'ascii'
);
