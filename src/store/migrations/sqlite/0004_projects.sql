-- A deleted project keeps its row, so that its id is never given again. Its data is removed in the background; `emptied_at`
-- says when nothing was left.
ALTER TABLE projects ADD COLUMN display_name TEXT NOT NULL DEFAULT '';
ALTER TABLE projects ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE projects ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE projects ADD COLUMN deleted_at INTEGER;
ALTER TABLE projects ADD COLUMN emptied_at INTEGER;
ALTER TABLE projects ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
UPDATE projects SET updated_at = created_at;

CREATE INDEX projects_listed ON projects (id) WHERE deleted_at IS NULL;
CREATE INDEX projects_to_empty ON projects (id) WHERE deleted_at IS NOT NULL AND emptied_at IS NULL;
CREATE INDEX products_deleted ON products (project, seq) WHERE deleted_at IS NOT NULL;
CREATE INDEX users_deleted ON users (project, seq) WHERE deleted_at IS NOT NULL;
