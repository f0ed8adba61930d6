-- Clients that register themselves (RFC 7591): whether a project lets them, and what they may ask for at most. Resources are
-- words parted by spaces: nothing is searched by them.
ALTER TABLE projects ADD COLUMN client_registration TEXT NOT NULL DEFAULT 'closed';
ALTER TABLE projects ADD COLUMN registration_resources TEXT NOT NULL DEFAULT '';

CREATE TABLE registration_scopes (
    project TEXT NOT NULL REFERENCES projects (id),
    plain TEXT NOT NULL,
    spelling TEXT NOT NULL,
    PRIMARY KEY (project, plain)
) STRICT, WITHOUT ROWID;

-- The clients that registered themselves and were not deleted, with what they manage their registration by, hashed.
CREATE TABLE client_registrations (
    client_id TEXT NOT NULL PRIMARY KEY REFERENCES clients (id),
    project TEXT NOT NULL,
    environment TEXT NOT NULL,
    hash BLOB NOT NULL,
    pepper INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX client_registrations_counted ON client_registrations (project, environment);
