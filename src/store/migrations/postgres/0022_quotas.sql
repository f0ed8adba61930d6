-- What keys may spend in all. `remaining` is what no node has taken to spend yet; `epoch` goes up when credits are set, and
-- `period_start` with each refill: what was taken before either is not taken back. `handed` is what the last node got.
CREATE TABLE key_credits (
    key_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES keys (id),
    epoch BIGINT NOT NULL,
    remaining BIGINT NOT NULL,
    granted BIGINT NOT NULL,
    refill TEXT COLLATE "C" NOT NULL,
    amount BIGINT NOT NULL,
    day BIGINT NOT NULL,
    period_start BIGINT NOT NULL,
    handed BIGINT NOT NULL,
    CHECK (remaining >= 0)
);

-- Whether a call from an address that is not on the key's list is refused (`enforce`), or only told of (`report`).
ALTER TABLE keys ADD COLUMN allowed_ips_mode TEXT COLLATE "C" NOT NULL DEFAULT 'enforce';
