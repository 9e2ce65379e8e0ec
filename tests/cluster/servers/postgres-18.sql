-- What PostgreSQL 18 has that 17 does not; postgres-17.sql is loaded first.
CREATE TABLE prices (
  id uuid PRIMARY KEY DEFAULT uuidv7(),
  net numeric NOT NULL,
  gross numeric GENERATED ALWAYS AS (net * 1.2) VIRTUAL,
  word text COLLATE pg_unicode_fast,
  CONSTRAINT positive CHECK (net > 0) NOT ENFORCED
);
INSERT INTO prices (id, net, word) VALUES
  ('018f0000-0000-7000-8000-000000000001', 10, 'STRASSE'), ('018f0000-0000-7000-8000-000000000002', -1, 'Straße');
CREATE INDEX prices_word ON prices (casefold(word));

-- A NOT NULL that was added without looking at the rows, one of which breaks it.
CREATE TABLE drafts (id integer PRIMARY KEY, body text);
INSERT INTO drafts VALUES (1, 'a'), (2, NULL);
ALTER TABLE drafts ADD CONSTRAINT body_needed NOT NULL body NOT VALID;
CREATE TABLE drafts_too () INHERITS (drafts);

-- Keys over periods of time.
CREATE TABLE rooms (
  room integer,
  during daterange,
  rent numeric,
  PRIMARY KEY (room, during WITHOUT OVERLAPS)
);
CREATE TABLE guests (
  guest integer,
  room integer,
  during daterange,
  UNIQUE (guest, during WITHOUT OVERLAPS),
  FOREIGN KEY (room, PERIOD during) REFERENCES rooms (room, PERIOD during)
);
INSERT INTO rooms VALUES (1, '[2025-01-01,2025-06-01)', 100), (1, '[2025-06-01,2026-01-01)', 110), (2, '[2025-01-01,)', 90);
INSERT INTO guests VALUES (7, 1, '[2025-05-01,2025-07-01)');

-- A foreign key that is not enforced, over a row that breaks it.
CREATE TABLE notes (id integer PRIMARY KEY, draft integer, FOREIGN KEY (draft) REFERENCES drafts NOT ENFORCED);
INSERT INTO notes VALUES (1, 99);
