-- The keys of the data, wrapped under each master key that holds them: one, or two while it is being replaced, of which the
-- one with the greater number is the new one. An installation from before this table gets its first row when it is opened:
-- its master key is not known here.
CREATE TABLE master_keys (
    seq BIGINT NOT NULL PRIMARY KEY,
    check_value BYTEA NOT NULL UNIQUE,
    data_keys BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

-- Counts up with every change of `master_keys`. Whoever changes it holds the row until it commits.
ALTER TABLE installation ADD COLUMN keys_version BIGINT NOT NULL DEFAULT 0;

-- What is sealed begins with the number of its key.
UPDATE key_secrets SET sealed = '\x00000001'::bytea || sealed WHERE sealed IS NOT NULL;
UPDATE idempotency SET answer = '\x00000001'::bytea || answer;
UPDATE signing_keys SET private_key = '\x00000001'::bytea || private_key;

CREATE INDEX key_secrets_sealed ON key_secrets (hash) WHERE sealed IS NOT NULL;
