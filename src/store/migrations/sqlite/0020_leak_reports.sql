-- What a project does about a leaked credential.
ALTER TABLE projects ADD COLUMN leak_policy TEXT NOT NULL DEFAULT 'suspend';

-- Credentials that were found where they must not be: each place once.
CREATE TABLE leak_reports (
    id TEXT NOT NULL PRIMARY KEY,
    project TEXT NOT NULL REFERENCES projects (id),
    environment TEXT NOT NULL,
    subject TEXT NOT NULL,
    kind TEXT NOT NULL,
    hint TEXT NOT NULL,
    source TEXT NOT NULL,
    url TEXT NOT NULL,
    reporter TEXT NOT NULL,
    action TEXT NOT NULL,
    reported_at INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX leak_reports_once ON leak_reports (subject, hint, source, url);
CREATE INDEX leak_reports_of_subject ON leak_reports (project, environment, subject, id);
CREATE INDEX leak_reports_listed ON leak_reports (project, environment, id);
CREATE INDEX leak_reports_ending ON leak_reports (reported_at);

-- A token that manages a registration is found without the client that it is of.
CREATE INDEX client_registrations_by_hash ON client_registrations (hash);
