-- What clients prove themselves by: a JWK Set, or where one is.
ALTER TABLE clients ADD COLUMN jwks TEXT;
ALTER TABLE clients ADD COLUMN jwks_uri TEXT;

-- What was signed for one use and was used, by a keyed hash, until it is refused for its age.
CREATE TABLE used_proofs (
    hash BLOB NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX used_proofs_ending ON used_proofs (expires_at);

-- The thumbprint of the key that whoever uses it must prove to hold (RFC 9449).
ALTER TABLE access_tokens ADD COLUMN jkt BLOB;
ALTER TABLE refresh_tokens ADD COLUMN jkt BLOB;
ALTER TABLE authorization_codes ADD COLUMN jkt BLOB;

-- Whether a client must push its authorization requests (RFC 9126).
ALTER TABLE clients ADD COLUMN require_pushed INTEGER NOT NULL DEFAULT 0;

-- Authorization requests that clients pushed, until they are answered (RFC 9126), by the keyed hash of their name.
CREATE TABLE pushed_requests (
    hash BLOB NOT NULL PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES clients (id),
    parameters TEXT NOT NULL,
    pushed_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX pushed_requests_of_client ON pushed_requests (client_id, expires_at);
CREATE INDEX pushed_requests_ending ON pushed_requests (expires_at);
