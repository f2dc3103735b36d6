-- From PostgreSQL to Citus, in place: all tables of the store are placed in one transaction. Servers may run; their
-- calls wait, and go on when it is over. Run it with psql on the coordinator, as a superuser and with the search path
-- of the server, after the steps of docs/operations-citus.md:
--
--   psql -X -v ON_ERROR_STOP=1 -f to-citus.sql "$DATABASE"
--
-- It changes all or nothing. If it fails, run it again. A database that is placed already is refused.

-- Connections that were made before the extension do not know of it.
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') THEN
    RAISE EXCEPTION 'the database has no extension citus: CREATE EXTENSION citus on each node first';
  END IF;
  IF NOT EXISTS (SELECT FROM pg_dist_node WHERE noderole = 'primary' AND groupid <> 0 AND shouldhaveshards) THEN
    RAISE EXCEPTION 'the coordinator knows no worker: citus_add_node first';
  END IF;
  IF (SELECT version FROM (SELECT max(version_id) AS version FROM sambang_version WHERE is_applied) AS v) <> 2 THEN
    RAISE EXCEPTION 'this file is for tables of version 2';
  END IF;
END $$;
SELECT count(pg_terminate_backend(pid, 10000)) AS "connections that were ended" FROM pg_stat_activity
  WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend';

BEGIN;
-- Who waits for this transaction while it waits for him is to give way.
SET LOCAL deadlock_timeout = '1min';
SET LOCAL lock_timeout = '30s';
SET LOCAL statement_timeout = 0;
-- Every step of the store begins with its scope, so that none is half-way.
LOCK TABLE scopes;
LOCK TABLE records, changes, past_writes, quarantine, epochs, replicas, chain_steps, witnesses, receipts, device_seen, used_tokens, servers,
  officers, devices, past_grants, enrolments;
-- The second lock on headquarters' reads, which Citus does not take: its policies look at other tables.
DO $$ DECLARE name text; BEGIN
  FOREACH name IN ARRAY ARRAY['scopes', 'records', 'changes', 'past_writes', 'quarantine'] LOOP
    EXECUTE format('DROP POLICY IF EXISTS sambang_server ON %I', name);
    EXECUTE format('DROP POLICY IF EXISTS sambang_reader ON %I', name);
    EXECUTE format('ALTER TABLE %I DISABLE ROW LEVEL SECURITY', name);
  END LOOP;
END $$;
SELECT create_distributed_table('scopes', 'scope');
SELECT create_distributed_table('records', 'scope', colocate_with => 'scopes');
SELECT create_distributed_table('changes', 'scope', colocate_with => 'scopes');
SELECT create_distributed_table('past_writes', 'scope', colocate_with => 'scopes');
SELECT create_distributed_table('quarantine', 'scope', colocate_with => 'scopes');
SELECT create_distributed_table('epochs', 'scope', colocate_with => 'scopes');
SELECT create_distributed_table('replicas', 'scope', colocate_with => 'scopes');
SELECT create_distributed_table('chain_steps', 'scope', colocate_with => 'scopes');
SELECT create_distributed_table('witnesses', 'scope', colocate_with => 'scopes');
SELECT create_distributed_table('receipts', 'scope', colocate_with => 'scopes');
SELECT create_distributed_table('device_seen', 'scope', colocate_with => 'scopes');
SELECT create_distributed_table('used_tokens', 'scope', colocate_with => 'scopes');
SELECT create_distributed_table('servers', 'scope', colocate_with => 'scopes');
SELECT create_reference_table('officers');
SELECT create_reference_table('devices');
SELECT create_reference_table('past_grants');
SELECT create_reference_table('enrolments');
COMMIT;

-- The rows that were here before lie hidden in the coordinator's own tables.
DO $$ DECLARE name text; BEGIN
  FOREACH name IN ARRAY ARRAY['scopes', 'records', 'changes', 'past_writes', 'quarantine', 'epochs', 'replicas', 'chain_steps', 'witnesses', 'receipts',
    'device_seen', 'used_tokens', 'servers', 'officers', 'devices', 'past_grants', 'enrolments'] LOOP
    PERFORM truncate_local_data_after_distributing_table(name::regclass);
  END LOOP;
END $$;
SELECT nodename || ':' || nodeport AS node, count(*) AS shards, pg_size_pretty(sum(shard_size)) AS size FROM citus_shards GROUP BY 1 ORDER BY 1;
