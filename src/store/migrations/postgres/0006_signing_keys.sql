-- The keys that sign the tokens of the whole installation. They are numbered from 1 without gaps: whoever stores the next
-- number has made the next key, and all nodes use that one. `private_key` is sealed under the master key.
CREATE TABLE signing_keys (
    seq BIGINT NOT NULL PRIMARY KEY,
    kid TEXT COLLATE "C" NOT NULL UNIQUE,
    algorithm TEXT COLLATE "C" NOT NULL,
    private_key BYTEA NOT NULL,
    public_jwk TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    active_from BIGINT NOT NULL,
    retired_at BIGINT,
    expires_at BIGINT,
    CHECK ((retired_at IS NULL) = (expires_at IS NULL))
);
