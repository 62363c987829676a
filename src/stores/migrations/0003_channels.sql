-- Messages outside the window, single messages, receipts, and windows read from the platform.

-- 'bulk', or 'interactive' for one message that a person wrote to one other.
ALTER TABLE campaigns ADD COLUMN mode TEXT NOT NULL DEFAULT 'bulk';
-- The registered template for people whose window is shut, as JSON; NULL when they are left out.
ALTER TABLE campaigns ADD COLUMN outside TEXT;

-- 1 when the row goes, or went, out as the campaign's registered template for people whose window is shut.
ALTER TABLE messages ADD COLUMN outside INTEGER NOT NULL DEFAULT 0;
-- The last that was heard of a message that was sent: delivered, read or undelivered.
ALTER TABLE messages ADD COLUMN receipt TEXT;
ALTER TABLE messages ADD COLUMN receipt_at INTEGER;
-- Why it was not delivered, as JSON.
ALTER TABLE messages ADD COLUMN receipt_error TEXT;

-- How far the windows of an account have been read from the platform.
CREATE TABLE window_syncs (
  account    TEXT    PRIMARY KEY,
  started_at INTEGER NOT NULL,
  cursor     TEXT,
  read_until INTEGER
) STRICT, WITHOUT ROWID;
