-- `seq` counts up with every user: lists and searches are in its order. Of a deleted user nothing but the id and the times
-- is left, for the keys that name them.
CREATE TABLE users (
    seq BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    project TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    environment TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    handle TEXT COLLATE "C",
    alias TEXT COLLATE "C",
    email TEXT COLLATE "C",
    email_folded TEXT COLLATE "C",
    first_name TEXT COLLATE "C" NOT NULL,
    last_name TEXT COLLATE "C" NOT NULL,
    metadata TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    blocked_at BIGINT,
    deleted_at BIGINT,
    version BIGINT NOT NULL,
    CHECK ((email IS NULL) = (email_folded IS NULL))
);

CREATE UNIQUE INDEX users_one_per_handle ON users (project, environment, handle) WHERE handle IS NOT NULL;
CREATE UNIQUE INDEX users_one_per_email ON users (project, environment, email_folded) WHERE email_folded IS NOT NULL;
CREATE INDEX users_listed ON users (project, environment, seq) WHERE deleted_at IS NULL;
CREATE INDEX users_listed_by_kind ON users (project, environment, kind, seq) WHERE deleted_at IS NULL;
CREATE INDEX users_listed_blocked ON users (project, environment, seq)
    WHERE blocked_at IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX users_listed_unblocked ON users (project, environment, seq)
    WHERE blocked_at IS NULL AND deleted_at IS NULL;

-- The words of each user, by `users.seq`; see `product_words`.
CREATE TABLE user_words (
    user_seq BIGINT NOT NULL PRIMARY KEY REFERENCES users (seq),
    words TSVECTOR NOT NULL
);

CREATE INDEX user_words_found ON user_words USING gin (words);

-- The service account that a key acts for.
ALTER TABLE keys ADD COLUMN user_id TEXT COLLATE "C" REFERENCES users (id);

CREATE INDEX keys_listed_by_user ON keys (project, environment, user_id, id) WHERE user_id IS NOT NULL;
CREATE INDEX keys_of_user ON keys (user_id, id) WHERE user_id IS NOT NULL AND revoked_at IS NULL;
