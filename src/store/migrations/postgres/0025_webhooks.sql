-- Who is told of what happens in a project. `disabled_reason` says why it was disabled by itself.
CREATE TABLE webhooks (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    project TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    environment TEXT COLLATE "C" NOT NULL,
    url TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    enabled BOOLEAN NOT NULL,
    disabled_reason TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);

CREATE INDEX webhooks_listed ON webhooks (project, environment, id);

-- The events that each is told of: a kind, a family (`alert.*`) or `*`.
CREATE TABLE webhook_kinds (
    webhook_id TEXT COLLATE "C" NOT NULL REFERENCES webhooks (id),
    kind TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (webhook_id, kind)
);

-- What deliveries are signed with, sealed. The current one has no end.
CREATE TABLE webhook_secrets (
    webhook_id TEXT COLLATE "C" NOT NULL REFERENCES webhooks (id),
    number BIGINT NOT NULL,
    sealed BYTEA NOT NULL,
    ends_at BIGINT,
    PRIMARY KEY (webhook_id, number)
);

CREATE INDEX webhook_secrets_ending ON webhook_secrets (ends_at) WHERE ends_at IS NOT NULL;

-- When each has something to be told next, which node is at it, and since when nothing arrives. Apart from `webhooks`, so that
-- whoever has something to tell never waits for whoever changes one.
CREATE TABLE webhook_lanes (
    webhook_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES webhooks (id),
    due_at BIGINT,
    busy_until BIGINT,
    failing_since BIGINT
);

CREATE INDEX webhook_lanes_due ON webhook_lanes (due_at) WHERE due_at IS NOT NULL;

-- What each was told, or is still to be told: the outbox and the log of deliveries. `due_at` is when it is tried next; none once
-- nothing more is to be done. `tries` counts from the last time it was queued, `attempts` from the first.
CREATE TABLE webhook_deliveries (
    webhook_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    project TEXT COLLATE "C" NOT NULL,
    environment TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    payload TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    due_at BIGINT,
    tries BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    attempted_at BIGINT,
    status BIGINT,
    error TEXT COLLATE "C",
    duration_micros BIGINT,
    PRIMARY KEY (webhook_id, id)
);

CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (webhook_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_queued ON webhook_deliveries (webhook_id, id) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_by_state ON webhook_deliveries (webhook_id, state, id);
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (created_at) WHERE due_at IS NULL;
CREATE INDEX webhook_deliveries_of_project ON webhook_deliveries (project);
