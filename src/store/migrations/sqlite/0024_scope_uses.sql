-- When each key last needed each scope, in plain form.
CREATE TABLE key_scope_uses (
    key_id TEXT NOT NULL,
    plain TEXT NOT NULL,
    project TEXT NOT NULL,
    used_at INTEGER NOT NULL,
    PRIMARY KEY (key_id, plain)
) STRICT, WITHOUT ROWID;

CREATE INDEX key_scope_uses_of_project ON key_scope_uses (project, key_id, plain);
