-- Who is told of what happens in a project. `disabled_reason` says why it was disabled by itself.
CREATE TABLE webhooks (
    id TEXT NOT NULL PRIMARY KEY,
    project TEXT NOT NULL REFERENCES projects (id),
    environment TEXT NOT NULL,
    url TEXT NOT NULL,
    description TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    disabled_reason TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX webhooks_listed ON webhooks (project, environment, id);

-- The events that each is told of: a kind, a family (`alert.*`) or `*`.
CREATE TABLE webhook_kinds (
    webhook_id TEXT NOT NULL REFERENCES webhooks (id),
    kind TEXT NOT NULL,
    PRIMARY KEY (webhook_id, kind)
) STRICT, WITHOUT ROWID;

-- What deliveries are signed with, sealed. The current one has no end.
CREATE TABLE webhook_secrets (
    webhook_id TEXT NOT NULL REFERENCES webhooks (id),
    number INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    ends_at INTEGER,
    PRIMARY KEY (webhook_id, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX webhook_secrets_ending ON webhook_secrets (ends_at) WHERE ends_at IS NOT NULL;

-- When each has something to be told next, which node is at it, and since when nothing arrives. Apart from `webhooks`, so that
-- whoever has something to tell never waits for whoever changes one.
CREATE TABLE webhook_lanes (
    webhook_id TEXT NOT NULL PRIMARY KEY REFERENCES webhooks (id),
    due_at INTEGER,
    busy_until INTEGER,
    failing_since INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX webhook_lanes_due ON webhook_lanes (due_at) WHERE due_at IS NOT NULL;

-- What each was told, or is still to be told: the outbox and the log of deliveries. `due_at` is when it is tried next; none once
-- nothing more is to be done. `tries` counts from the last time it was queued, `attempts` from the first.
CREATE TABLE webhook_deliveries (
    webhook_id TEXT NOT NULL,
    id TEXT NOT NULL,
    project TEXT NOT NULL,
    environment TEXT NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    due_at INTEGER,
    tries INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    attempted_at INTEGER,
    status INTEGER,
    error TEXT,
    duration_micros INTEGER,
    PRIMARY KEY (webhook_id, id)
) STRICT;

CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (webhook_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_queued ON webhook_deliveries (webhook_id, id) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_by_state ON webhook_deliveries (webhook_id, state, id);
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (created_at) WHERE due_at IS NULL;
CREATE INDEX webhook_deliveries_of_project ON webhook_deliveries (project);
