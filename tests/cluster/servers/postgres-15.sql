-- What PostgreSQL 15 has, and 18 must take as it is.
CREATE ROLE reader NOLOGIN;
CREATE EXTENSION btree_gist;
CREATE SCHEMA "Odd ""name""";
CREATE TYPE mood AS ENUM ('sad', 'ok', 'very happy');
CREATE DOMAIN short AS text CHECK (length(VALUE) < 200);
CREATE TABLE "Odd ""name"""."a table" (
  id integer GENERATED ALWAYS AS IDENTITY (START 7 INCREMENT 3) PRIMARY KEY,
  "the mood" mood DEFAULT 'ok',
  note short,
  doubled numeric GENERATED ALWAYS AS (2 * 1.5) STORED,
  at timestamptz DEFAULT '2026-01-01 00:00:00+02',
  UNIQUE NULLS NOT DISTINCT (note, "the mood")
);
INSERT INTO "Odd ""name"""."a table" (note) VALUES ('Ünïcödé 🐘'), (E'back\\slash \t \n quote \' "'), (NULL);

CREATE TABLE events (id bigserial, day date NOT NULL, kind text COLLATE "C", payload jsonb, PRIMARY KEY (id, day))
  PARTITION BY RANGE (day);
CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE events_later PARTITION OF events DEFAULT;
INSERT INTO events (day, kind, payload)
  SELECT '2025-12-01'::date + i, 'kind ' || i % 3, jsonb_build_object('i', i, 'f', 0.1 * i) FROM generate_series(1, 60) i;
CREATE INDEX events_kind ON events USING gin (payload jsonb_path_ops);

CREATE TABLE stays (room integer, during tstzrange, EXCLUDE USING gist (room WITH =, during WITH &&));
INSERT INTO stays VALUES (1, '[2026-01-01, 2026-01-03)'), (1, '[2026-01-03, 2026-01-04)');
CREATE VIEW totals WITH (security_invoker = true) AS SELECT kind, count(*) AS number FROM events GROUP BY kind;
CREATE MATERIALIZED VIEW per_day AS SELECT day, count(*) AS number FROM events GROUP BY day;
CREATE UNIQUE INDEX per_day_key ON per_day (day);
CREATE FUNCTION twice(x integer) RETURNS integer LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT 2 * x; END;
CREATE PROCEDURE tidy() LANGUAGE plpgsql AS $$ BEGIN DELETE FROM events WHERE false; END $$;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
CREATE TRIGGER refuse BEFORE DELETE ON stays FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE STATISTICS kinds (dependencies) ON day, kind FROM events;
ALTER TABLE events ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON events FOR SELECT TO reader USING (kind <> 'kind 0');
GRANT SELECT ON events TO reader;
COMMENT ON TABLE events IS E'two\nlines';
SELECT lo_from_bytea(424242, decode(repeat('00ff', 5000), 'hex'));
