-- When each key last needed each scope, in plain form.
CREATE TABLE key_scope_uses (
    key_id TEXT COLLATE "C" NOT NULL,
    plain TEXT COLLATE "C" NOT NULL,
    project TEXT COLLATE "C" NOT NULL,
    used_at BIGINT NOT NULL,
    PRIMARY KEY (key_id, plain)
);

CREATE INDEX key_scope_uses_of_project ON key_scope_uses (project, key_id, plain);
