-- What keys may spend in all. `remaining` is what no node has taken to spend yet; `epoch` goes up when credits are set, and
-- `period_start` with each refill: what was taken before either is not taken back. `handed` is what the last node got.
CREATE TABLE key_credits (
    key_id TEXT NOT NULL PRIMARY KEY REFERENCES keys (id),
    epoch INTEGER NOT NULL,
    remaining INTEGER NOT NULL,
    granted INTEGER NOT NULL,
    refill TEXT NOT NULL,
    amount INTEGER NOT NULL,
    day INTEGER NOT NULL,
    period_start INTEGER NOT NULL,
    handed INTEGER NOT NULL,
    CHECK (remaining >= 0)
) STRICT, WITHOUT ROWID;

-- Whether a call from an address that is not on the key's list is refused (`enforce`), or only told of (`report`).
ALTER TABLE keys ADD COLUMN allowed_ips_mode TEXT NOT NULL DEFAULT 'enforce';
