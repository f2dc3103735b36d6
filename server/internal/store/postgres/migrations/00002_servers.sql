-- +goose Up

-- What servers that share the database agree on. It is not of the store's contract: no row of it is about a record or a
-- device's sync, none has a sum, and a copy of the store on another engine does without it.

-- The tokens that devices used, in the scope 'device/<id>' of each. They are forgotten when no server takes them any
-- more, by the next token of the same device.
CREATE TABLE used_tokens (
  scope text COLLATE "C" NOT NULL,
  jti   text COLLATE "C" NOT NULL,
  ends  bigint NOT NULL,
  PRIMARY KEY (scope, jti)
);

-- Which server the database belongs to: one row, in the scope 'registry'.
CREATE TABLE servers (
  scope  text COLLATE "C" NOT NULL PRIMARY KEY,
  server text COLLATE "C" NOT NULL CHECK (server <> '')
);

-- +goose StatementBegin
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') THEN
    PERFORM create_distributed_table('used_tokens', 'scope', colocate_with => 'scopes');
    PERFORM create_distributed_table('servers', 'scope', colocate_with => 'scopes');
  END IF;
END $$;
-- +goose StatementEnd
