-- What an access token was exchanged for: the hash of a key's secret, or of another access token. That may be gone.
ALTER TABLE access_tokens ADD COLUMN subject BLOB;
ALTER TABLE access_tokens ADD COLUMN subject_kind TEXT;
