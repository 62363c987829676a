-- version 4

CREATE TABLE "campaigns" (
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

CREATE INDEX campaigns_by_digest ON campaigns (account, digest, approved_at);

CREATE INDEX campaigns_continuous ON campaigns (account, number) WHERE state = 'continuous';

CREATE INDEX campaigns_open ON campaigns (account, number) WHERE finished_at IS NULL AND state <> 'continuous';

CREATE TABLE dead_letters (
  delivery    INTEGER PRIMARY KEY,
  service     TEXT    NOT NULL,
  received_at INTEGER NOT NULL,
  reason      TEXT    NOT NULL,
  body        TEXT    NOT NULL
) STRICT;

CREATE TABLE deliveries (
  number      INTEGER PRIMARY KEY AUTOINCREMENT,
  service     TEXT    NOT NULL,
  -- The accounts that its signature may speak for, as JSON.
  accounts    TEXT    NOT NULL,
  body        TEXT    NOT NULL,
  received_at INTEGER NOT NULL
) STRICT;

CREATE TABLE echoes (
  campaign   INTEGER NOT NULL REFERENCES campaigns (number) ON DELETE CASCADE,
  seq        INTEGER NOT NULL,
  message_id TEXT    NOT NULL,
  at         INTEGER NOT NULL,
  PRIMARY KEY (campaign, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE heard_messages (
  account TEXT    NOT NULL,
  id      TEXT    NOT NULL,
  at      INTEGER NOT NULL,
  PRIMARY KEY (account, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX heard_messages_by_time ON heard_messages (at);

CREATE TABLE leases (
  account    TEXT    PRIMARY KEY,
  fence      INTEGER NOT NULL,
  holder     TEXT,
  expires_at INTEGER NOT NULL,
  -- Before this instant no message may leave, so that the pace holds from one owner to the next.
  free_at    INTEGER NOT NULL
, taken INTEGER) STRICT, WITHOUT ROWID;

CREATE TABLE messages (
  campaign    INTEGER NOT NULL REFERENCES campaigns (number) ON DELETE CASCADE,
  seq         INTEGER NOT NULL,
  user_id     TEXT    NOT NULL,
  "values"    TEXT    NOT NULL,
  state       TEXT    NOT NULL CHECK (state IN ('queued', 'started', 'sent', 'failed', 'skipped', 'unknown')),
  reason      TEXT,
  opener      TEXT,
  closes_at   INTEGER,
  not_before  INTEGER,
  attempts    INTEGER NOT NULL DEFAULT 0,
  -- The fence of the lease under which the row was started; settling needs the same.
  fence       INTEGER,
  started_at  INTEGER,
  settled_at  INTEGER,
  message_id  TEXT,
  error       TEXT, planned TEXT, outside INTEGER NOT NULL DEFAULT 0, receipt TEXT, receipt_at INTEGER, receipt_error TEXT, occasion TEXT NOT NULL DEFAULT '', answers_at INTEGER, added_at INTEGER,
  PRIMARY KEY (campaign, seq),
  CHECK ((state = 'skipped') = (reason IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX messages_one_per_person ON messages (user_id, campaign, occasion)
  WHERE reason IS NULL OR reason NOT IN ('duplicate', 'invalid');

CREATE INDEX messages_queue ON messages (campaign, closes_at, seq) WHERE state = 'queued';

CREATE INDEX messages_singles ON messages (campaign, coalesce(not_before, 0), added_at)
  WHERE state = 'queued' AND added_at IS NOT NULL;

CREATE INDEX messages_started ON messages (campaign) WHERE state = 'started';

CREATE TABLE "opt_outs" (
  account  TEXT    NOT NULL,
  user_id  TEXT    NOT NULL,
  since    INTEGER,
  -- Who told of the last opting out. Before this version only a service did.
  source   TEXT    NOT NULL DEFAULT 'service',
  back_at  INTEGER,
  PRIMARY KEY (account, user_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE recurrences (
  id          TEXT    PRIMARY KEY,
  account     TEXT    NOT NULL,
  -- Everything that is only read back, as JSON.
  settings    TEXT    NOT NULL,
  created_at  INTEGER NOT NULL,
  next_at     INTEGER,
  last        TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE sqlite_sequence(name,seq);

CREATE TABLE wakes (
  account TEXT    NOT NULL,
  at      INTEGER NOT NULL,
  PRIMARY KEY (account, at)
) STRICT, WITHOUT ROWID;

CREATE TABLE window_syncs (
  account    TEXT    PRIMARY KEY,
  started_at INTEGER NOT NULL,
  cursor     TEXT,
  read_until INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE windows (
  account   TEXT    NOT NULL,
  user_id   TEXT    NOT NULL,
  opener    TEXT    NOT NULL,
  opened_at INTEGER NOT NULL,
  PRIMARY KEY (account, user_id, opener)
) STRICT, WITHOUT ROWID;
