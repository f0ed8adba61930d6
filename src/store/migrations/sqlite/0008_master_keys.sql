-- The keys of the data, wrapped under each master key that holds them: one, or two while it is being replaced, of which the
-- one with the greater number is the new one. An installation from before this table gets its first row when it is opened:
-- its master key is not known here.
CREATE TABLE master_keys (
    seq INTEGER NOT NULL PRIMARY KEY,
    check_value BLOB NOT NULL UNIQUE,
    data_keys BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- Counts up with every change of `master_keys`. Whoever changes it holds the row until it commits.
ALTER TABLE installation ADD COLUMN keys_version INTEGER NOT NULL DEFAULT 0;

-- What is sealed begins with the number of its key.
UPDATE key_secrets SET sealed = CAST(x'00000001' || sealed AS BLOB) WHERE sealed IS NOT NULL;
UPDATE idempotency SET answer = CAST(x'00000001' || answer AS BLOB);
UPDATE signing_keys SET private_key = CAST(x'00000001' || private_key AS BLOB);

CREATE INDEX key_secrets_sealed ON key_secrets (hash) WHERE sealed IS NOT NULL;
