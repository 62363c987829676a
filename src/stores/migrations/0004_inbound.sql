-- What comes in: deliveries, opt-outs with their instants, and single messages, which are rows of continuous campaigns.

-- A single message of the version before was a campaign of its own, and nobody waits any more for one that has not ended.
UPDATE messages SET state = 'skipped', reason = 'cancelled', settled_at = CAST(unixepoch('subsec') * 1000 AS INTEGER)
WHERE state = 'queued' AND campaign IN
  (SELECT number FROM campaigns WHERE mode = 'interactive' AND state NOT IN ('finished', 'expired', 'cancelled'));
UPDATE campaigns SET state = 'cancelled', stop = NULL, finished_at = CAST(unixepoch('subsec') * 1000 AS INTEGER)
WHERE mode = 'interactive' AND state NOT IN ('finished', 'expired', 'cancelled');

-- An echo that came before its row was unknown settles it. From now on, taking an account sees to that.
UPDATE messages SET state = 'sent', message_id = e.message_id, error = NULL,
  settled_at = CAST(unixepoch('subsec') * 1000 AS INTEGER)
FROM echoes e WHERE e.campaign = messages.campaign AND e.seq = messages.seq AND messages.state = 'unknown';

-- SQLite cannot change a CHECK, so the table is made anew. (Foreign keys are off while migrations run.)
CREATE TABLE campaigns_new (
  number       INTEGER PRIMARY KEY,
  id           TEXT    NOT NULL UNIQUE,
  account      TEXT    NOT NULL,
  account_name TEXT    NOT NULL,
  -- The whole template as it was approved: later edits of the file must not change a campaign under way.
  template     TEXT    NOT NULL,
  variables    TEXT    NOT NULL,
  source       TEXT    NOT NULL,
  pace         REAL,
  state        TEXT    NOT NULL CHECK (state IN ('scheduled', 'ready', 'running', 'paused', 'stopped', 'finished',
                 'expired', 'cancelled', 'continuous')),
  stop         TEXT,
  digest       TEXT    NOT NULL,
  policy       TEXT    NOT NULL,
  -- When a run stops for safety, as JSON: {count, share}.
  budget       TEXT    NOT NULL,
  -- Whoever comes with the same key goes on with this campaign.
  key          TEXT    UNIQUE,
  -- One occurrence of a recurrence is planned once, whoever looks at it.
  recurrence   TEXT,
  occurs_at    INTEGER,
  send_at      INTEGER,
  expires_at   INTEGER,
  zone         TEXT,
  approved_at  INTEGER NOT NULL,
  started_at   INTEGER,
  -- When somebody last had it sent, or a message of it was sent.
  active_at    INTEGER NOT NULL,
  finished_at  INTEGER,
  -- 'bulk', or what occasions the single messages of a continuous campaign.
  mode         TEXT    NOT NULL DEFAULT 'bulk',
  -- The registered template for people whose window is shut, as JSON; NULL when they are left out.
  outside      TEXT,
  -- The flow whose messages a continuous campaign holds; NULL for those that a person writes.
  flow         TEXT,
  -- When the messages of a continuous campaign do not leave, as JSON: {hours, then}.
  quiet        TEXT,
  -- What makes a continuous campaign the one that a single message belongs to, as a hash.
  continuous   TEXT    UNIQUE,
  UNIQUE (recurrence, occurs_at),
  CHECK ((state = 'continuous') = (continuous IS NOT NULL))
) STRICT;

INSERT INTO campaigns_new (number, id, account, account_name, template, variables, source, pace, state, stop, digest, policy,
  budget, key, recurrence, occurs_at, send_at, expires_at, zone, approved_at, started_at, active_at, finished_at, mode, outside)
SELECT number, id, account, account_name, template, variables, source, pace, state, stop, digest, policy,
  budget, key, recurrence, occurs_at, send_at, expires_at, zone, approved_at, started_at, active_at, finished_at, mode, outside
FROM campaigns;

DROP TABLE campaigns;
ALTER TABLE campaigns_new RENAME TO campaigns;
CREATE INDEX campaigns_by_digest ON campaigns (account, digest, approved_at);
-- What has not ended is looked for all the time, among everything that was ever sent.
CREATE INDEX campaigns_open ON campaigns (account, number) WHERE finished_at IS NULL AND state <> 'continuous';
CREATE INDEX campaigns_continuous ON campaigns (account, number) WHERE state = 'continuous';

-- What a single message is sent for; empty for rows of campaigns in bulk.
ALTER TABLE messages ADD COLUMN occasion TEXT NOT NULL DEFAULT '';
-- When the person did what a single message answers.
ALTER TABLE messages ADD COLUMN answers_at INTEGER;
-- When a single message was queued; NULL for rows of campaigns in bulk.
ALTER TABLE messages ADD COLUMN added_at INTEGER;

-- Nobody is in a campaign in bulk twice, and nobody gets two single messages for one occasion.
DROP INDEX messages_one_per_person;
CREATE UNIQUE INDEX messages_one_per_person ON messages (user_id, campaign, occasion)
  WHERE reason IS NULL OR reason NOT IN ('duplicate', 'invalid');

-- Single messages that wait, by when they may be sent: thousands may wait for the end of quiet hours.
CREATE INDEX messages_singles ON messages (campaign, coalesce(not_before, 0), added_at)
  WHERE state = 'queued' AND added_at IS NOT NULL;

-- The last time that somebody opted out, and the last time that they opted back in; the later one counts.
CREATE TABLE opt_outs_new (
  account  TEXT    NOT NULL,
  user_id  TEXT    NOT NULL,
  since    INTEGER,
  -- Who told of the last opting out. Before this version only a service did.
  source   TEXT    NOT NULL DEFAULT 'service',
  back_at  INTEGER,
  PRIMARY KEY (account, user_id)
) STRICT, WITHOUT ROWID;
INSERT INTO opt_outs_new (account, user_id, since) SELECT account, user_id, since FROM opt_outs;
DROP TABLE opt_outs;
ALTER TABLE opt_outs_new RENAME TO opt_outs;

-- Callbacks that were accepted and wait to be heard. A number is never given twice: whoever has read a delivery that
-- somebody else has heard must not take another one out.
CREATE TABLE deliveries (
  number      INTEGER PRIMARY KEY AUTOINCREMENT,
  service     TEXT    NOT NULL,
  -- The accounts that its signature may speak for, as JSON.
  accounts    TEXT    NOT NULL,
  body        TEXT    NOT NULL,
  received_at INTEGER NOT NULL
) STRICT;

-- The beginnings of deliveries that could not be used; the newest of them.
CREATE TABLE dead_letters (
  delivery    INTEGER PRIMARY KEY,
  service     TEXT    NOT NULL,
  received_at INTEGER NOT NULL,
  reason      TEXT    NOT NULL,
  body        TEXT    NOT NULL
) STRICT;

-- Messages of a service that does not tell when they were written: one that comes again must not count as a later one.
CREATE TABLE heard_messages (
  account TEXT    NOT NULL,
  id      TEXT    NOT NULL,
  at      INTEGER NOT NULL,
  PRIMARY KEY (account, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX heard_messages_by_time ON heard_messages (at);

-- How many messages of former owners count until free_at; NULL when nobody knows.
ALTER TABLE leases ADD COLUMN taken INTEGER;
