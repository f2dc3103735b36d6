-- +goose Up

-- The log of one scope, of a kind and of an agency, so that a page of what is rare does not pass by all the rest.
CREATE INDEX records_scope ON records (scope, updated_at, seq) WHERE moved_to IS NULL;
CREATE INDEX records_kind ON records (kind, updated_at, scope, seq) WHERE moved_to IS NULL;
CREATE INDEX records_agency ON records (agency, updated_at, scope, seq) WHERE moved_to IS NULL;

PRAGMA user_version = 3;
