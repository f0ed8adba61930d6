-- What users may do in person.
CREATE TABLE user_scopes (
    user_id TEXT NOT NULL REFERENCES users (id),
    plain TEXT NOT NULL,
    spelling TEXT NOT NULL,
    project TEXT NOT NULL,
    PRIMARY KEY (user_id, plain)
) STRICT, WITHOUT ROWID;

CREATE INDEX user_scopes_by_scope ON user_scopes (project, plain, user_id);

-- What users of a project get who add themselves.
CREATE TABLE sign_up_scopes (
    project TEXT NOT NULL REFERENCES projects (id),
    plain TEXT NOT NULL,
    spelling TEXT NOT NULL,
    PRIMARY KEY (project, plain)
) STRICT, WITHOUT ROWID;

ALTER TABLE projects ADD COLUMN sign_up TEXT NOT NULL DEFAULT 'closed';
ALTER TABLE projects ADD COLUMN session_micros INTEGER NOT NULL DEFAULT 3600000000;
