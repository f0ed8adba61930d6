-- What devices ask for, by the hash of the device's code. The grant may be gone before the request.
CREATE TABLE device_requests (
    hash BYTEA NOT NULL PRIMARY KEY,
    user_code BYTEA NOT NULL,
    project TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    environment TEXT COLLATE "C" NOT NULL,
    client_id TEXT COLLATE "C" NOT NULL REFERENCES clients (id),
    scopes TEXT COLLATE "C" NOT NULL,
    resources TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('pending', 'approved', 'denied', 'redeemed')),
    user_id TEXT COLLATE "C" REFERENCES users (id),
    grant_id TEXT COLLATE "C",
    interval_micros BIGINT NOT NULL,
    polled_at BIGINT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    CHECK ((user_id IS NULL) = (state = 'pending')),
    CHECK ((grant_id IS NULL) = (state IN ('pending', 'denied')))
);

CREATE UNIQUE INDEX device_requests_by_user_code ON device_requests (user_code);
CREATE INDEX device_requests_of_client ON device_requests (client_id, expires_at);
CREATE INDEX device_requests_of_project ON device_requests (project);
CREATE INDEX device_requests_of_user ON device_requests (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX device_requests_ending ON device_requests (expires_at);
