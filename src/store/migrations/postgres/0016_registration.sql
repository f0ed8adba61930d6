-- Clients that register themselves (RFC 7591): whether a project lets them, and what they may ask for at most. Resources are
-- words parted by spaces: nothing is searched by them.
ALTER TABLE projects ADD COLUMN client_registration TEXT COLLATE "C" NOT NULL DEFAULT 'closed';
ALTER TABLE projects ADD COLUMN registration_resources TEXT COLLATE "C" NOT NULL DEFAULT '';

CREATE TABLE registration_scopes (
    project TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    plain TEXT COLLATE "C" NOT NULL,
    spelling TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (project, plain)
);

-- The clients that registered themselves and were not deleted, with what they manage their registration by, hashed.
CREATE TABLE client_registrations (
    client_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES clients (id),
    project TEXT COLLATE "C" NOT NULL,
    environment TEXT COLLATE "C" NOT NULL,
    hash BYTEA NOT NULL,
    pepper BIGINT NOT NULL
);

CREATE INDEX client_registrations_counted ON client_registrations (project, environment);
