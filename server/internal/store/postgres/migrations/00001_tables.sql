-- +goose Up

-- The tables of the SQLite engine with the same columns, in the same order, so that a row is the same on both and its
-- sum with it: the xxHash64 of the table's name and of all other columns, in the order of the list in
-- store/tables. Names sort by bytes whatever the language of the database.

-- A scope's counter: the sequence of its last change. Its row is the lock of the scope, so it is there as soon as the
-- scope was named once. Half of each page is free, so that raising it writes no index.
CREATE TABLE scopes (
  scope text COLLATE "C" NOT NULL PRIMARY KEY,
  seq   bigint NOT NULL,
  sum   bigint NOT NULL
) WITH (fillfactor = 50);

-- One record in one scope: its live row where it is at home, a marker (moved_to is set) where it once was.
-- doc is json and not jsonb: it comes back byte for byte.
CREATE TABLE records (
  scope       text COLLATE "C" NOT NULL,
  id          bytea NOT NULL CHECK (length(id) = 16),
  seq         bigint NOT NULL CHECK (seq > 0),
  entered_seq bigint NOT NULL,
  kind        text COLLATE "C" NOT NULL,
  conflicts   bigint NOT NULL,
  deleted     bigint NOT NULL,
  purged      bigint NOT NULL,
  moved_to    text COLLATE "C",
  of_id       bytea,
  agency      text COLLATE "C" NOT NULL,
  officer     text COLLATE "C" NOT NULL,
  created_at  bigint NOT NULL,
  updated_at  bigint NOT NULL,
  sum         bigint NOT NULL,
  state       bytea NOT NULL,
  doc         json,
  -- id first: the same index finds a record in its scope and wherever it is.
  PRIMARY KEY (id, scope)
)
-- A usual record has 3.7 KB, and 2.6 KB compressed: it stays in its row, which is written once and read once. What is
-- longer goes beside it. From 4 KB on it would not be compressed.
WITH (toast_tuple_target = 3072);
-- The feed, in order; unique, so that a counter that went wrong is an error and not a lost row.
CREATE UNIQUE INDEX records_seq ON records (scope, seq);
-- The log of headquarters, newest first, and its keyset pages.
CREATE INDEX records_log ON records (updated_at, scope, seq) WHERE moved_to IS NULL;
-- The same of one scope, of a kind and of an agency, so that a page of what is rare does not pass by all the rest.
CREATE INDEX records_scope ON records (scope, updated_at, seq) WHERE moved_to IS NULL;
CREATE INDEX records_kind ON records (kind, updated_at, scope, seq) WHERE moved_to IS NULL;
CREATE INDEX records_agency ON records (agency, updated_at, scope, seq) WHERE moved_to IS NULL;
-- The companions of a record.
CREATE INDEX records_of ON records (of_id) WHERE of_id IS NOT NULL AND moved_to IS NULL;
-- Records that wait for a decision; almost always empty.
CREATE INDEX records_conflicts ON records (scope, conflicts) WHERE conflicts > 0 AND moved_to IS NULL;

-- The journal: one accepted change of one record. Appended, never changed, except that a purge empties ops; the digest
-- of what was there stays.
CREATE TABLE changes (
  scope   text COLLATE "C" NOT NULL,
  seq     bigint NOT NULL CHECK (seq > 0),
  id      bytea NOT NULL,
  device  text COLLATE "C" NOT NULL,
  officer text COLLATE "C" NOT NULL,
  agency  text COLLATE "C" NOT NULL,
  at      bigint NOT NULL,
  digest  bytea NOT NULL CHECK (length(digest) = 32),
  sum     bigint NOT NULL,
  ops     bytea NOT NULL,
  PRIMARY KEY (scope, seq)
);
-- The history of a record, in one scope or in all.
CREATE INDEX changes_id ON changes (id, scope);

-- The journal of writes that were overwritten before the server saw them. step is the write's link in its replica's
-- chain; it outlives the value. replica and hlc are unsigned 64-bit numbers, big endian, so that bytes sort as they do.
CREATE TABLE past_writes (
  scope   text COLLATE "C" NOT NULL,
  replica bytea NOT NULL CHECK (length(replica) = 8),
  n       bigint NOT NULL,
  id      bytea NOT NULL,
  path    text COLLATE "C" NOT NULL,
  hlc     bytea NOT NULL CHECK (length(hlc) = 8),
  step    bytea NOT NULL CHECK (length(step) = 32),
  device  text COLLATE "C" NOT NULL,
  officer text COLLATE "C" NOT NULL,
  agency  text COLLATE "C" NOT NULL,
  at      bigint NOT NULL,
  sum     bigint NOT NULL,
  value   bytea NOT NULL,
  PRIMARY KEY (scope, replica, n)
);
CREATE INDEX past_writes_id ON past_writes (id, scope);

-- A message that was received and not applied, with its bytes.
CREATE TABLE quarantine (
  scope      text COLLATE "C" NOT NULL,
  key        bytea NOT NULL CHECK (length(key) = 32),
  id         bytea NOT NULL,
  device     text COLLATE "C" NOT NULL,
  code       text COLLATE "C" NOT NULL,
  at         bigint NOT NULL,
  state      text COLLATE "C" NOT NULL CHECK (state IN ('open', 'released', 'closed')),
  reason     text COLLATE "C" NOT NULL,
  by         text COLLATE "C" NOT NULL,
  decided_at bigint NOT NULL,
  sum        bigint NOT NULL,
  raw        bytea NOT NULL,
  PRIMARY KEY (key, scope)
);
-- The inbox, newest first.
CREATE INDEX quarantine_inbox ON quarantine (at, key);

-- The store's epoch: one row, in the scope 'epoch'.
CREATE TABLE epochs (
  scope      text COLLATE "C" NOT NULL PRIMARY KEY,
  id         bytea NOT NULL CHECK (length(id) = 16),
  since      bigint NOT NULL,
  recovering bigint NOT NULL,
  sum        bigint NOT NULL
);

-- What is known of one replica id, in the scope 'device/<id>' of its device: what it claimed and what is held.
CREATE TABLE replicas (
  scope        text COLLATE "C" NOT NULL,
  replica      bytea NOT NULL CHECK (length(replica) = 8),
  key_nonce    bytea NOT NULL CHECK (length(key_nonce) = 16),
  claimed_n    bigint NOT NULL,
  claimed_head bytea NOT NULL CHECK (length(claimed_head) = 32),
  held_n       bigint NOT NULL,
  held_head    bytea NOT NULL CHECK (length(held_head) = 32),
  broken       bigint NOT NULL,
  sum          bigint NOT NULL,
  PRIMARY KEY (scope, replica)
) WITH (fillfactor = 50);
-- Whose a replica id is. Not unique, because a shard could not enforce it: writing checks it.
CREATE INDEX replicas_replica ON replicas (replica);

-- The digest of one write whose predecessors are not all held.
CREATE TABLE chain_steps (
  scope   text COLLATE "C" NOT NULL,
  replica bytea NOT NULL CHECK (length(replica) = 8),
  n       bigint NOT NULL,
  step    bytea NOT NULL CHECK (length(step) = 32),
  sum     bigint NOT NULL,
  PRIMARY KEY (scope, replica, n)
);

-- The last numbered and stamped responses to a device.
CREATE TABLE witnesses (
  scope text COLLATE "C" NOT NULL,
  n     bigint NOT NULL,
  stamp bytea NOT NULL CHECK (length(stamp) = 16),
  sum   bigint NOT NULL,
  PRIMARY KEY (scope, n)
);

-- Signed receipts as the device got them.
CREATE TABLE receipts (
  scope     text COLLATE "C" NOT NULL,
  n         bigint NOT NULL,
  key       text COLLATE "C" NOT NULL,
  at        bigint NOT NULL,
  signature bytea NOT NULL,
  sum       bigint NOT NULL,
  body      bytea NOT NULL,
  PRIMARY KEY (scope, n)
);

-- What a device said of itself when it last called. It changes with every call, so it is not a column of devices,
-- which a cluster copies to every node.
CREATE TABLE device_seen (
  scope       text COLLATE "C" NOT NULL PRIMARY KEY,
  at          bigint NOT NULL,
  app         text COLLATE "C" NOT NULL,
  waiting     bigint NOT NULL,
  skew_millis bigint NOT NULL,
  sum         bigint NOT NULL
) WITH (fillfactor = 50);

-- Cold tables: a cluster copies them to every node, so their keys are without scope. Only the scope 'registry' writes them.

-- A person who may hold devices.
CREATE TABLE officers (
  id       text COLLATE "C" NOT NULL PRIMARY KEY,
  name     text COLLATE "C" NOT NULL,
  agency   text COLLATE "C" NOT NULL,
  role     text COLLATE "C" NOT NULL,
  disabled bigint NOT NULL,
  sum      bigint NOT NULL
);

-- One enrolled phone.
CREATE TABLE devices (
  id             text COLLATE "C" NOT NULL PRIMARY KEY,
  name           text COLLATE "C" NOT NULL,
  officer        text COLLATE "C" NOT NULL,
  agency         text COLLATE "C" NOT NULL,
  role           text COLLATE "C" NOT NULL,
  algorithm      text COLLATE "C" NOT NULL,
  public_key     bytea NOT NULL,
  grants         text COLLATE "C" NOT NULL,
  grants_version bigint NOT NULL,
  enrolled_at    bigint NOT NULL,
  revoked_at     bigint NOT NULL,
  wipe           bigint NOT NULL,
  sum            bigint NOT NULL
);

-- Grants that a device held before its present ones.
CREATE TABLE past_grants (
  device      text COLLATE "C" NOT NULL,
  version     bigint NOT NULL,
  grants      text COLLATE "C" NOT NULL,
  replaced_at bigint NOT NULL,
  sum         bigint NOT NULL,
  PRIMARY KEY (device, version)
);

-- A single-use code; used_at is set once.
CREATE TABLE enrolments (
  id          text COLLATE "C" NOT NULL PRIMARY KEY,
  secret_hash bytea NOT NULL CHECK (length(secret_hash) = 32),
  officer     text COLLATE "C" NOT NULL,
  agency      text COLLATE "C" NOT NULL,
  role        text COLLATE "C" NOT NULL,
  grants      text COLLATE "C" NOT NULL,
  created_at  bigint NOT NULL,
  expires_at  bigint NOT NULL,
  used_at     bigint NOT NULL,
  device      text COLLATE "C" NOT NULL,
  sum         bigint NOT NULL
);

-- A name of what the server is between two crashes. An unlogged table is empty after a crash and as it was after a clean
-- restart. After a crash, numbers of transactions that were not written down are given again, so what is said of one that
-- was lost counts only under the same name.
CREATE UNLOGGED TABLE sambang_incarnation (
  one boolean NOT NULL PRIMARY KEY CHECK (one),
  id  text NOT NULL
);

-- What records hold is text in the main, and most of what a push costs here is to compress it: with lz4 a third of what
-- PostgreSQL's own method takes, at the same size. Where it was built without, it keeps that.
-- +goose StatementBegin
DO $$ BEGIN
  ALTER TABLE records ALTER state SET COMPRESSION lz4, ALTER doc SET COMPRESSION lz4;
  ALTER TABLE changes ALTER ops SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
  NULL;
END $$;
-- +goose StatementEnd

-- On Citus, all that has a scope is placed by it, rows of one scope on one node.
-- +goose StatementBegin
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') THEN
    PERFORM create_distributed_table('scopes', 'scope');
    PERFORM create_distributed_table('records', 'scope', colocate_with => 'scopes');
    PERFORM create_distributed_table('changes', 'scope', colocate_with => 'scopes');
    PERFORM create_distributed_table('past_writes', 'scope', colocate_with => 'scopes');
    PERFORM create_distributed_table('quarantine', 'scope', colocate_with => 'scopes');
    PERFORM create_distributed_table('epochs', 'scope', colocate_with => 'scopes');
    PERFORM create_distributed_table('replicas', 'scope', colocate_with => 'scopes');
    PERFORM create_distributed_table('chain_steps', 'scope', colocate_with => 'scopes');
    PERFORM create_distributed_table('witnesses', 'scope', colocate_with => 'scopes');
    PERFORM create_distributed_table('receipts', 'scope', colocate_with => 'scopes');
    PERFORM create_distributed_table('device_seen', 'scope', colocate_with => 'scopes');
    PERFORM create_reference_table('officers');
    PERFORM create_reference_table('devices');
    PERFORM create_reference_table('past_grants');
    PERFORM create_reference_table('enrolments');
  END IF;
END $$;
-- +goose StatementEnd
