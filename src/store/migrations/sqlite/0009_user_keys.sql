-- The name of a user key is the handle that its user gave it.
CREATE UNIQUE INDEX keys_one_per_handle ON keys (user_id, name) WHERE kind = 'uk' AND revoked_at IS NULL;
