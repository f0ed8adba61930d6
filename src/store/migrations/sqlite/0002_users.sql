-- `seq` counts up with every user: lists and searches are in its order. Of a deleted user nothing but the id and the times
-- is left, for the keys that name them.
CREATE TABLE users (
    seq INTEGER NOT NULL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    project TEXT NOT NULL REFERENCES projects (id),
    environment TEXT NOT NULL,
    kind TEXT NOT NULL,
    handle TEXT,
    alias TEXT,
    email TEXT,
    email_folded TEXT,
    first_name TEXT NOT NULL,
    last_name TEXT NOT NULL,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    blocked_at INTEGER,
    deleted_at INTEGER,
    version INTEGER NOT NULL,
    CHECK ((email IS NULL) = (email_folded IS NULL))
) STRICT;

CREATE UNIQUE INDEX users_one_per_handle ON users (project, environment, handle) WHERE handle IS NOT NULL;
CREATE UNIQUE INDEX users_one_per_email ON users (project, environment, email_folded) WHERE email_folded IS NOT NULL;
CREATE INDEX users_listed ON users (project, environment, seq) WHERE deleted_at IS NULL;
CREATE INDEX users_listed_by_kind ON users (project, environment, kind, seq) WHERE deleted_at IS NULL;
CREATE INDEX users_listed_blocked ON users (project, environment, seq)
    WHERE blocked_at IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX users_listed_unblocked ON users (project, environment, seq)
    WHERE blocked_at IS NULL AND deleted_at IS NULL;

-- The words of each user, by `users.seq` as the row id; see `product_words`.
CREATE VIRTUAL TABLE user_words USING fts5 (
    words, content = '', contentless_delete = 1, detail = 'none', tokenize = 'ascii'
);

-- The service account that a key acts for.
ALTER TABLE keys ADD COLUMN user_id TEXT REFERENCES users (id);

CREATE INDEX keys_listed_by_user ON keys (project, environment, user_id, id) WHERE user_id IS NOT NULL;
CREATE INDEX keys_of_user ON keys (user_id, id) WHERE user_id IS NOT NULL AND revoked_at IS NULL;
