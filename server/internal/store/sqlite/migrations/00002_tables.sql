-- +goose Up

-- Every table ends a row's life in a hash of it: sum is the xxHash64 of the table's name and of all other columns, in
-- the order of the list in columns.go. SQLite does not see a flipped bit in a value; this does, at every read.

-- A scope's counter: the sequence of its last change. It is raised in the transaction of the rows that it counts, so
-- the order of sequences is the order of commits.
CREATE TABLE scopes (
  scope TEXT NOT NULL PRIMARY KEY,
  seq   INTEGER NOT NULL,
  sum   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One record in one scope: its live row where it is at home, a marker (moved_to is set) where it once was. State and
-- doc come last, so that a scan over the small columns does not touch their overflow pages.
CREATE TABLE records (
  scope       TEXT NOT NULL,
  id          BLOB NOT NULL CHECK (length(id) = 16),
  seq         INTEGER NOT NULL CHECK (seq > 0),
  entered_seq INTEGER NOT NULL,
  kind        TEXT NOT NULL,
  conflicts   INTEGER NOT NULL,
  deleted     INTEGER NOT NULL,
  purged      INTEGER NOT NULL,
  moved_to    TEXT,
  of_id       BLOB,
  agency      TEXT NOT NULL,
  officer     TEXT NOT NULL,
  created_at  INTEGER NOT NULL,
  updated_at  INTEGER NOT NULL,
  sum         INTEGER NOT NULL,
  state       BLOB NOT NULL,
  doc         TEXT,
  -- id first: the same index finds a record in its scope and wherever it is.
  PRIMARY KEY (id, scope)
) STRICT;
-- The feed, in order; unique, so that a counter that went wrong is an error and not a lost row.
CREATE UNIQUE INDEX records_seq ON records (scope, seq);
-- The log of headquarters, newest first, and its keyset pages.
CREATE INDEX records_log ON records (updated_at, scope, seq) WHERE moved_to IS NULL;
-- The companions of a record.
CREATE INDEX records_of ON records (of_id) WHERE of_id IS NOT NULL AND moved_to IS NULL;
-- Records that wait for a decision; almost always empty.
CREATE INDEX records_conflicts ON records (scope, conflicts) WHERE conflicts > 0 AND moved_to IS NULL;

-- The journal: one accepted change of one record. Appended, never changed, except that a purge empties ops; the digest
-- of what was there stays. With a rowid, because a row of more than a kilobyte in a tree of keys fills a page of its own
-- (measured with 1,400 bytes of ops: 40 % slower pushes).
CREATE TABLE changes (
  scope   TEXT NOT NULL,
  seq     INTEGER NOT NULL CHECK (seq > 0),
  id      BLOB NOT NULL,
  device  TEXT NOT NULL,
  officer TEXT NOT NULL,
  agency  TEXT NOT NULL,
  at      INTEGER NOT NULL,
  digest  BLOB NOT NULL CHECK (length(digest) = 32),
  sum     INTEGER NOT NULL,
  ops     BLOB NOT NULL,
  PRIMARY KEY (scope, seq)
) STRICT;
-- The history of a record, in one scope or in all.
CREATE INDEX changes_id ON changes (id, scope);

-- The journal of writes that were overwritten before the server saw them. step is the write's link in its replica's
-- chain; it outlives the value. replica and hlc are unsigned 64-bit numbers, big endian, so that bytes sort as they do.
CREATE TABLE past_writes (
  scope   TEXT NOT NULL,
  replica BLOB NOT NULL CHECK (length(replica) = 8),
  n       INTEGER NOT NULL,
  id      BLOB NOT NULL,
  path    TEXT NOT NULL,
  hlc     BLOB NOT NULL CHECK (length(hlc) = 8),
  step    BLOB NOT NULL CHECK (length(step) = 32),
  device  TEXT NOT NULL,
  officer TEXT NOT NULL,
  agency  TEXT NOT NULL,
  at      INTEGER NOT NULL,
  sum     INTEGER NOT NULL,
  value   BLOB NOT NULL,
  PRIMARY KEY (scope, replica, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX past_writes_id ON past_writes (id, scope);

-- A message that was received and not applied, with its bytes.
CREATE TABLE quarantine (
  scope      TEXT NOT NULL,
  key        BLOB NOT NULL CHECK (length(key) = 32),
  id         BLOB NOT NULL,
  device     TEXT NOT NULL,
  code       TEXT NOT NULL,
  at         INTEGER NOT NULL,
  state      TEXT NOT NULL CHECK (state IN ('open', 'released', 'closed')),
  reason     TEXT NOT NULL,
  by         TEXT NOT NULL,
  decided_at INTEGER NOT NULL,
  sum        INTEGER NOT NULL,
  raw        BLOB NOT NULL,
  PRIMARY KEY (key, scope)
) STRICT;
-- The inbox, newest first.
CREATE INDEX quarantine_inbox ON quarantine (at, key);

-- The store's epoch: one row, in the scope 'epoch'.
CREATE TABLE epochs (
  scope      TEXT NOT NULL PRIMARY KEY,
  id         BLOB NOT NULL CHECK (length(id) = 16),
  since      INTEGER NOT NULL,
  recovering INTEGER NOT NULL,
  sum        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What is known of one replica id, in the scope 'device/<id>' of its device: what it claimed and what is held.
CREATE TABLE replicas (
  scope        TEXT NOT NULL,
  replica      BLOB NOT NULL CHECK (length(replica) = 8),
  key_nonce    BLOB NOT NULL CHECK (length(key_nonce) = 16),
  claimed_n    INTEGER NOT NULL,
  claimed_head BLOB NOT NULL CHECK (length(claimed_head) = 32),
  held_n       INTEGER NOT NULL,
  held_head    BLOB NOT NULL CHECK (length(held_head) = 32),
  broken       INTEGER NOT NULL,
  sum          INTEGER NOT NULL,
  PRIMARY KEY (scope, replica)
) STRICT, WITHOUT ROWID;
-- Whose a replica id is. Not unique, because a shard could not enforce it: writing checks it.
CREATE INDEX replicas_replica ON replicas (replica);

-- The digest of one write whose predecessors are not all held.
CREATE TABLE chain_steps (
  scope   TEXT NOT NULL,
  replica BLOB NOT NULL CHECK (length(replica) = 8),
  n       INTEGER NOT NULL,
  step    BLOB NOT NULL CHECK (length(step) = 32),
  sum     INTEGER NOT NULL,
  PRIMARY KEY (scope, replica, n)
) STRICT, WITHOUT ROWID;

-- The last numbered and stamped responses to a device.
CREATE TABLE witnesses (
  scope TEXT NOT NULL,
  n     INTEGER NOT NULL,
  stamp BLOB NOT NULL CHECK (length(stamp) = 16),
  sum   INTEGER NOT NULL,
  PRIMARY KEY (scope, n)
) STRICT, WITHOUT ROWID;

-- Signed receipts as the device got them.
CREATE TABLE receipts (
  scope     TEXT NOT NULL,
  n         INTEGER NOT NULL,
  key       TEXT NOT NULL,
  at        INTEGER NOT NULL,
  signature BLOB NOT NULL,
  sum       INTEGER NOT NULL,
  body      BLOB NOT NULL,
  PRIMARY KEY (scope, n)
) STRICT;

-- What a device said of itself when it last called. It changes with every call, so it is not a column of devices,
-- which a cluster copies to every node.
CREATE TABLE device_seen (
  scope       TEXT NOT NULL PRIMARY KEY,
  at          INTEGER NOT NULL,
  app         TEXT NOT NULL,
  waiting     INTEGER NOT NULL,
  skew_millis INTEGER NOT NULL,
  sum         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Cold tables: a cluster copies them to every node, so their keys are without scope. Only the scope 'registry' writes them.

-- A person who may hold devices.
CREATE TABLE officers (
  id       TEXT NOT NULL PRIMARY KEY,
  name     TEXT NOT NULL,
  agency   TEXT NOT NULL,
  role     TEXT NOT NULL,
  disabled INTEGER NOT NULL,
  sum      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One enrolled phone.
CREATE TABLE devices (
  id             TEXT NOT NULL PRIMARY KEY,
  name           TEXT NOT NULL,
  officer        TEXT NOT NULL,
  agency         TEXT NOT NULL,
  role           TEXT NOT NULL,
  algorithm      TEXT NOT NULL,
  public_key     BLOB NOT NULL,
  grants         TEXT NOT NULL,
  grants_version INTEGER NOT NULL,
  enrolled_at    INTEGER NOT NULL,
  revoked_at     INTEGER NOT NULL,
  wipe           INTEGER NOT NULL,
  sum            INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Grants that a device held before its present ones.
CREATE TABLE past_grants (
  device      TEXT NOT NULL,
  version     INTEGER NOT NULL,
  grants      TEXT NOT NULL,
  replaced_at INTEGER NOT NULL,
  sum         INTEGER NOT NULL,
  PRIMARY KEY (device, version)
) STRICT, WITHOUT ROWID;

-- A single-use code; used_at is set once.
CREATE TABLE enrolments (
  id          TEXT NOT NULL PRIMARY KEY,
  secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
  officer     TEXT NOT NULL,
  agency      TEXT NOT NULL,
  role        TEXT NOT NULL,
  grants      TEXT NOT NULL,
  created_at  INTEGER NOT NULL,
  expires_at  INTEGER NOT NULL,
  used_at     INTEGER NOT NULL,
  device      TEXT NOT NULL,
  sum         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The version of the file, in its header: an older program reads it there and leaves the file alone.
PRAGMA user_version = 2;
