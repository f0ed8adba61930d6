-- The keys that sign the tokens of the whole installation. They are numbered from 1 without gaps: whoever stores the next
-- number has made the next key, and all nodes use that one. `private_key` is sealed under the master key.
CREATE TABLE signing_keys (
    seq INTEGER NOT NULL PRIMARY KEY,
    kid TEXT NOT NULL UNIQUE,
    algorithm TEXT NOT NULL,
    private_key BLOB NOT NULL,
    public_jwk TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    active_from INTEGER NOT NULL,
    retired_at INTEGER,
    expires_at INTEGER,
    CHECK ((retired_at IS NULL) = (expires_at IS NULL))
) STRICT;
