-- Timed and recurring campaigns, keys, cancelling, and what came back of messages whose outcome was unknown.

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
  state        TEXT    NOT NULL CHECK (state IN
                 ('scheduled', 'ready', 'running', 'paused', 'stopped', 'finished', 'expired', 'cancelled')),
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
  UNIQUE (recurrence, occurs_at)
) STRICT;

INSERT INTO campaigns_new (number, id, account, account_name, template, variables, source, pace, state, stop, digest, policy,
  budget, approved_at, started_at, active_at, finished_at)
SELECT number, id, account, account_name, template, variables, source, pace,
  iif(state IN ('ready', 'running'), 'paused', state),
  -- So far only a person had a campaign go on, and of those that stand still only a person shall.
  iif(stop IS NULL, NULL, json_set(stop, '$.at', 0)), digest, policy,
  '{"count":10,"share":0.1}', approved_at, started_at, 0, finished_at
FROM campaigns;

DROP TABLE campaigns;
ALTER TABLE campaigns_new RENAME TO campaigns;
CREATE INDEX campaigns_by_digest ON campaigns (account, digest, approved_at);

-- Why the approved plan left the row out; NULL when it was to be sent.
ALTER TABLE messages ADD COLUMN planned TEXT;
UPDATE messages SET planned = reason WHERE state = 'skipped';

-- What a dead run has left under way is looked for each time an account is taken.
CREATE INDEX messages_started ON messages (campaign) WHERE state = 'started';

-- What came back of our messages. It may come before the row is known to be unknown.
CREATE TABLE echoes (
  campaign   INTEGER NOT NULL REFERENCES campaigns (number) ON DELETE CASCADE,
  seq        INTEGER NOT NULL,
  message_id TEXT    NOT NULL,
  at         INTEGER NOT NULL,
  PRIMARY KEY (campaign, seq)
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

-- When somebody is to look at an account.
CREATE TABLE wakes (
  account TEXT    NOT NULL,
  at      INTEGER NOT NULL,
  PRIMARY KEY (account, at)
) STRICT, WITHOUT ROWID;
