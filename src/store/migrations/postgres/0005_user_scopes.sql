-- What users may do in person.
CREATE TABLE user_scopes (
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    plain TEXT COLLATE "C" NOT NULL,
    spelling TEXT COLLATE "C" NOT NULL,
    project TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (user_id, plain)
);

CREATE INDEX user_scopes_by_scope ON user_scopes (project, plain, user_id);

-- What users of a project get who add themselves.
CREATE TABLE sign_up_scopes (
    project TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    plain TEXT COLLATE "C" NOT NULL,
    spelling TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (project, plain)
);

ALTER TABLE projects ADD COLUMN sign_up TEXT COLLATE "C" NOT NULL DEFAULT 'closed';
ALTER TABLE projects ADD COLUMN session_micros BIGINT NOT NULL DEFAULT 3600000000;
