-- Clients that are known by the address of a document which says what they are (OAuth Client ID Metadata Document): whether a
-- project takes them; where a client's document is, when it was had last, and until when it is believed.
ALTER TABLE projects ADD COLUMN client_documents INTEGER NOT NULL DEFAULT 0;
ALTER TABLE clients ADD COLUMN document_url TEXT;
ALTER TABLE clients ADD COLUMN document_fetched_at INTEGER;
ALTER TABLE clients ADD COLUMN document_fresh_until INTEGER;

CREATE UNIQUE INDEX clients_by_document ON clients (project, environment, document_url)
    WHERE document_url IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX clients_by_document_age ON clients (document_fetched_at)
    WHERE document_fetched_at IS NOT NULL AND deleted_at IS NULL;
