-- The second lock on headquarters' reads. The owner of the tables puts it in; see roles.go.

-- What the reader of this transaction may see, as a set of names: 35./T for class T in province 35, 35.24. for class D
-- in regency 35.24, 35.24.14/H for class H in that district. Null without a reader.
CREATE OR REPLACE FUNCTION sambang_reach() RETURNS jsonb LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
  SELECT jsonb_object_agg(g.region || CASE length(g.region) WHEN 8 THEN '' ELSE '.' END || CASE c.class WHEN 'D' THEN '' ELSE '/' || c.class END, 1)
  FROM (SELECT nullif(current_setting('sambang.reader', true), '')::jsonb AS reader) AS r,
    LATERAL jsonb_to_recordset(r.reader -> 'grants') AS g (region text, classes text[], until bigint),
    LATERAL unnest(g.classes) AS c (class)
  WHERE g.region ~ '^[0-9]{2}([.][0-9]{2}){0,2}$' AND c.class IN ('D', 'T', 'H') AND (g.until = 0 OR (r.reader ->> 'now')::bigint < g.until);
END;

-- Whether a scope is within a reach. One expression, so that it becomes a part of the query: a row costs no call. And
-- a CASE, of which the planner assumes that it holds for half of the rows. Of the two conditions alone it assumes one in
-- 200,000, and sorts the whole table for a page of the log.
CREATE OR REPLACE FUNCTION sambang_covers(reach jsonb, scope text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN translate(left(scope, 8), '123456789', '000000000') = '00.00.00'
  THEN reach ?| ARRAY[left(scope, 3) || substr(scope, 9), left(scope, 6) || substr(scope, 9), scope] ELSE false END;

-- The regions of the reader's grants, of whatever class.
CREATE OR REPLACE FUNCTION sambang_regions() RETURNS text[] LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
  SELECT array_agg(g.region)
  FROM (SELECT nullif(current_setting('sambang.reader', true), '')::jsonb AS reader) AS r,
    LATERAL jsonb_to_recordset(r.reader -> 'grants') AS g (region text, until bigint)
  WHERE g.until = 0 OR (r.reader ->> 'now')::bigint < g.until;
END;

-- Whether a device with these grants is, or once was, in one of the regions, or around it.
CREATE OR REPLACE FUNCTION sambang_meets(regions text[], grants text) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
RETURN EXISTS (SELECT FROM regexp_matches(grants, '"region":"([0-9.]*)"', 'g') AS g (found), unnest(regions) AS r (region)
  WHERE region = found[1] OR starts_with(found[1], region || '.') OR starts_with(region, found[1] || '.'));

ALTER TABLE scopes ENABLE ROW LEVEL SECURITY;
ALTER TABLE records ENABLE ROW LEVEL SECURITY;
ALTER TABLE changes ENABLE ROW LEVEL SECURITY;
ALTER TABLE past_writes ENABLE ROW LEVEL SECURITY;
ALTER TABLE quarantine ENABLE ROW LEVEL SECURITY;

DROP POLICY IF EXISTS sambang_server ON scopes;
DROP POLICY IF EXISTS sambang_server ON records;
DROP POLICY IF EXISTS sambang_server ON changes;
DROP POLICY IF EXISTS sambang_server ON past_writes;
DROP POLICY IF EXISTS sambang_server ON quarantine;
CREATE POLICY sambang_server ON scopes TO {server} USING (true) WITH CHECK (true);
CREATE POLICY sambang_server ON records TO {server} USING (true) WITH CHECK (true);
CREATE POLICY sambang_server ON changes TO {server} USING (true) WITH CHECK (true);
CREATE POLICY sambang_server ON past_writes TO {server} USING (true) WITH CHECK (true);
CREATE POLICY sambang_server ON quarantine TO {server} USING (true) WITH CHECK (true);

DROP POLICY IF EXISTS sambang_reader ON scopes;
DROP POLICY IF EXISTS sambang_reader ON records;
DROP POLICY IF EXISTS sambang_reader ON changes;
DROP POLICY IF EXISTS sambang_reader ON past_writes;
DROP POLICY IF EXISTS sambang_reader ON quarantine;
CREATE POLICY sambang_reader ON scopes FOR SELECT TO {reader} USING (sambang_covers((SELECT sambang_reach()), scope));
CREATE POLICY sambang_reader ON records FOR SELECT TO {reader} USING (sambang_covers((SELECT sambang_reach()), scope));
-- A record takes its journal with it when it moves: what was written elsewhere is read where it is now, each in its
-- class. Of records, only those that the reader sees count here.
CREATE POLICY sambang_reader ON changes FOR SELECT TO {reader} USING (EXISTS (SELECT FROM records r
  WHERE r.id = changes.id AND r.moved_to IS NULL AND sambang_covers((SELECT sambang_reach()), left(r.scope, 8) || substr(changes.scope, 9))));
CREATE POLICY sambang_reader ON past_writes FOR SELECT TO {reader} USING (EXISTS (SELECT FROM records r
  WHERE r.id = past_writes.id AND r.moved_to IS NULL AND sambang_covers((SELECT sambang_reach()), left(r.scope, 8) || substr(past_writes.scope, 9))));
-- A message whose scope could not be read is in that of its device.
CREATE POLICY sambang_reader ON quarantine FOR SELECT TO {reader} USING (CASE WHEN scope ~ '^[0-9]{2}[.][0-9]{2}[.][0-9]{2}(/[TH])?$'
  THEN sambang_covers((SELECT sambang_reach()), scope)
  ELSE EXISTS (SELECT FROM devices d WHERE d.id = quarantine.device AND sambang_meets((SELECT sambang_regions()), d.grants)) END);
