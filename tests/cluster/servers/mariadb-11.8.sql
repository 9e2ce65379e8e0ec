-- What MariaDB 11.8 has that 10.11 does not, beside what is hard on every version.
SET NAMES utf8mb4;

-- Vectors with an index over them.
CREATE TABLE pictures (
  id int AUTO_INCREMENT PRIMARY KEY,
  name varchar(100) COLLATE uca1400_ai_ci NOT NULL UNIQUE,
  place vector(4) NOT NULL,
  VECTOR INDEX (place) M=8 DISTANCE=cosine
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_uca1400_as_cs;
INSERT INTO pictures (name, place) VALUES
  ('Ünïcödé 日本語 🐘', VEC_FromText('[0.1, -2.5, 3e-7, 0]')), ('-- Dump completed', VEC_FromText('[1, 1, 1, 1]')),
  ('back\\slash '' " ` \n \0', VEC_FromText('[-1, 0.333333333, 1e15, -0]'));

-- Sequences, one of which is used by a table and half spent.
CREATE SEQUENCE numbers START WITH 1000 INCREMENT BY 7 MAXVALUE 100000 CACHE 10 CYCLE;
CREATE SEQUENCE small AS smallint UNSIGNED START WITH 3;
CREATE TABLE tickets (n bigint DEFAULT nextval(numbers) PRIMARY KEY, what inet6, who uuid DEFAULT uuid());
INSERT INTO tickets (what, who) VALUES ('::1', '00000000-0000-0000-0000-000000000001'), ('2001:db8::ff', '00000000-0000-0000-0000-000000000002');

-- History of its own, and periods of the application.
CREATE TABLE salaries (who int PRIMARY KEY, cents int) WITH SYSTEM VERSIONING;
INSERT INTO salaries VALUES (1, 100), (2, 200);
UPDATE salaries SET cents = cents + 1;
DELETE FROM salaries WHERE who = 2;
CREATE TABLE stays (
  room int, begins date, ends date,
  PERIOD FOR during (begins, ends),
  UNIQUE (room, during WITHOUT OVERLAPS)
);
INSERT INTO stays VALUES (1, '2025-01-01', '2025-06-01'), (1, '2025-06-01', '2026-01-01'), (2, '2025-01-01', '2025-02-01');
CREATE TABLE both_times (
  id int, price int, begins date, ends date,
  valid_from timestamp(6) GENERATED ALWAYS AS ROW START INVISIBLE, valid_to timestamp(6) GENERATED ALWAYS AS ROW END INVISIBLE,
  PERIOD FOR SYSTEM_TIME (valid_from, valid_to), PERIOD FOR business (begins, ends)
) WITH SYSTEM VERSIONING PARTITION BY SYSTEM_TIME LIMIT 1000 PARTITIONS 3;
INSERT INTO both_times (id, price, begins, ends) VALUES (1, 10, '2025-01-01', '2026-01-01');
UPDATE both_times FOR PORTION OF business FROM '2025-03-01' TO '2025-04-01' SET price = 12;

-- Generated and invisible columns, a JSON check, an index in descending order.
CREATE TABLE papers (
  id int PRIMARY KEY, body json, secret int INVISIBLE DEFAULT 7,
  kind varchar(20) GENERATED ALWAYS AS (json_value(body, '$.kind')) STORED,
  words int GENERATED ALWAYS AS (char_length(body)) VIRTUAL,
  KEY (kind DESC)
);
INSERT INTO papers (id, body) VALUES (1, '{"kind": "note", "emoji": "🐘"}'), (2, '{"kind": "a \\"b\\" c"}');

-- Packages, whose parts share variables, a procedure, a trigger, an event and views.
DELIMITER //
CREATE PACKAGE wages
  FUNCTION gross(net int) RETURNS int;
  PROCEDURE raise(who_is int);
END//
CREATE PACKAGE BODY wages
  DECLARE rate int DEFAULT 2;
  FUNCTION gross(net int) RETURNS int RETURN net * rate;
  PROCEDURE raise(who_is int) UPDATE salaries SET cents = cents + 1 WHERE who = who_is;
END//
CREATE TRIGGER papers_before BEFORE INSERT ON papers FOR EACH ROW SET NEW.secret = coalesce(NEW.secret, 1) + 1//
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DISABLE DO BEGIN DELETE FROM tickets; END//
DELIMITER ;
CREATE VIEW paid AS SELECT who, wages.gross(cents) AS gross FROM salaries;
