-- When tokens of a grant were given last, and grants as an environment lists them.
ALTER TABLE grants ADD COLUMN refreshed_at INTEGER;

CREATE INDEX grants_listed ON grants (project, environment, id);
DROP INDEX grants_of_project;

-- When somebody first agreed to a client that registered itself; what nobody ever agreed to makes room for others, oldest first.
ALTER TABLE client_registrations ADD COLUMN first_granted_at INTEGER;

UPDATE client_registrations SET first_granted_at = 0
    WHERE EXISTS (SELECT 1 FROM consents c WHERE c.client_id = client_registrations.client_id)
        OR EXISTS (SELECT 1 FROM grants g WHERE g.client_id = client_registrations.client_id);

CREATE INDEX client_registrations_unused ON client_registrations (project, environment, client_id)
    WHERE first_granted_at IS NULL;

-- The access token that something was done with, and whom its client acted for. Both are tied into the chain where they are there.
ALTER TABLE audit_events ADD COLUMN acting_token TEXT;
ALTER TABLE audit_events ADD COLUMN acting_user TEXT;
