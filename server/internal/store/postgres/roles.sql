-- The roles of a store of Sambang, for an administrator: psql -d DATABASE -v ON_ERROR_STOP=1 -f FILE
-- It can be run again, and must be after the database was made anew: what it says of the database is in no dump.
--
--   sambang_owner   owns the database: makes and upgrades the tables (sambangd schema)
--   sambang_server  reads and writes rows, and nothing else (sambangd serve)
--   sambang_reader  what the server becomes to read for headquarters; nobody logs in as it
--
-- Passwords are not here: \password sambang_owner, \password sambang_server.
BEGIN;

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['sambang_owner', 'sambang_server', 'sambang_reader'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
      EXECUTE format('CREATE ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS %s', name,
        CASE WHEN name = 'sambang_reader' THEN 'NOLOGIN' ELSE 'LOGIN' END);
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = name AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication)) THEN
      RAISE EXCEPTION 'role % may more than a role of Sambang should', name;
    END IF;
  END LOOP;
END $$;

GRANT sambang_reader TO sambang_owner, sambang_server;

DO $$
DECLARE
  db text := current_database();
BEGIN
  EXECUTE format('ALTER DATABASE %I OWNER TO sambang_owner', db);
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', db);
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO sambang_server', db);
  -- So that the owner knows whom to give what.
  EXECUTE format('ALTER DATABASE %I SET sambang.server_role = ''sambang_server''', db);
  EXECUTE format('ALTER DATABASE %I SET sambang.reader_role = ''sambang_reader''', db);
END $$;

COMMIT;
