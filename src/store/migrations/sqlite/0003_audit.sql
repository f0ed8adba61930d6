-- The audit log as a chain: entries are numbered from 1 without gaps, and each is tied to the one before.
--
-- `environment` is empty for what belongs to the whole project. `noun` is the action's first word. Entries from before the
-- chain are numbered up to 0, in the order of their ids, and are tied to nothing.
ALTER TABLE audit_events ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE audit_events ADD COLUMN environment TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_events ADD COLUMN noun TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_events ADD COLUMN fields_before TEXT;
ALTER TABLE audit_events ADD COLUMN fields_after TEXT;
ALTER TABLE audit_events ADD COLUMN link BLOB NOT NULL DEFAULT x'';

UPDATE audit_events SET
    seq = 1 - numbered.from_the_end,
    actor = COALESCE(actor, 'command-line'),
    environment = COALESCE((SELECT k.environment FROM keys k WHERE k.id = audit_events.target),
        (SELECT k.environment FROM keys k WHERE k.id = audit_events.actor), ''),
    noun = substr(action, 1, instr(action, '.') - 1)
FROM (SELECT id, row_number() OVER (PARTITION BY project ORDER BY id DESC) AS from_the_end FROM audit_events) numbered
WHERE numbered.id = audit_events.id;

-- One row for each project whose chain has begun: the number and the link of its last entry, how many entries there are from
-- before the chain, and the proof that this is so. Whoever adds an entry holds the row until it commits.
CREATE TABLE audit_chains (
    project TEXT NOT NULL PRIMARY KEY,
    seq INTEGER NOT NULL,
    link BLOB NOT NULL,
    unchained INTEGER NOT NULL,
    seal BLOB NOT NULL
) STRICT;

DROP INDEX audit_events_listed;
CREATE UNIQUE INDEX audit_events_chained ON audit_events (project, seq);
-- One index for each filter of the list; time and number come last, because lists are in their order.
CREATE INDEX audit_events_listed ON audit_events (project, environment, occurred_at, seq);
CREATE INDEX audit_events_listed_by_actor ON audit_events (project, environment, actor, occurred_at, seq);
CREATE INDEX audit_events_listed_by_target ON audit_events (project, environment, target, occurred_at, seq);
CREATE INDEX audit_events_listed_by_action ON audit_events (project, environment, action, occurred_at, seq);
CREATE INDEX audit_events_listed_by_noun ON audit_events (project, environment, noun, occurred_at, seq);
