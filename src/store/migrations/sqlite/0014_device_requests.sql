-- What devices ask for, by the hash of the device's code. The grant may be gone before the request.
CREATE TABLE device_requests (
    hash BLOB NOT NULL PRIMARY KEY,
    user_code BLOB NOT NULL,
    project TEXT NOT NULL REFERENCES projects (id),
    environment TEXT NOT NULL,
    client_id TEXT NOT NULL REFERENCES clients (id),
    scopes TEXT NOT NULL,
    resources TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'denied', 'redeemed')),
    user_id TEXT REFERENCES users (id),
    grant_id TEXT,
    interval_micros INTEGER NOT NULL,
    polled_at INTEGER,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    CHECK ((user_id IS NULL) = (state = 'pending')),
    CHECK ((grant_id IS NULL) = (state IN ('pending', 'denied')))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX device_requests_by_user_code ON device_requests (user_code);
CREATE INDEX device_requests_of_client ON device_requests (client_id, expires_at);
CREATE INDEX device_requests_of_project ON device_requests (project);
CREATE INDEX device_requests_of_user ON device_requests (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX device_requests_ending ON device_requests (expires_at);
