-- What MySQL 9.7 has that 8.0 does not, beside what is hard on every version.
SET NAMES utf8mb4;

-- Vectors.
CREATE TABLE pictures (
  id int AUTO_INCREMENT PRIMARY KEY,
  name varchar(100) NOT NULL UNIQUE,
  place vector(4),
  fingerprint vector
);
INSERT INTO pictures (name, place) VALUES
  ('Ünïcödé 日本語 🐘', STRING_TO_VECTOR('[0.1, -2.5, 3e-7, 0]')), ('-- Dump completed', NULL),
  ('back\\slash '' " ` \n \0', STRING_TO_VECTOR('[-1, 0.333333333, 1e30, 0]'));

-- A primary key that the server made, and does not show.
SET sql_generate_invisible_primary_key = ON;
CREATE TABLE keyless (what varchar(20), shade int INVISIBLE DEFAULT 3);
INSERT INTO keyless (what, shade) VALUES ('a', 1), ('a', 1), ('b', 2);
SET sql_generate_invisible_primary_key = OFF;

-- Documents over tables.
CREATE TABLE customers (id int PRIMARY KEY, name varchar(50) NOT NULL);
CREATE TABLE orders (id int PRIMARY KEY, customer int NOT NULL, cents int, FOREIGN KEY (customer) REFERENCES customers (id));
INSERT INTO customers VALUES (1, 'one'), (2, 'two "quoted"');
INSERT INTO orders VALUES (10, 1, 100), (11, 1, 200), (12, 2, 300);
CREATE OR REPLACE JSON RELATIONAL DUALITY VIEW customer_documents AS
  SELECT JSON_DUALITY_OBJECT('_id': id, 'name': name, 'orders': (
    SELECT JSON_ARRAYAGG(JSON_DUALITY_OBJECT('id': id, 'cents': cents)) FROM orders WHERE orders.customer = customers.id
  )) FROM customers;

-- Functional indexes, checks, spatial data, partitions, generated and invisible columns, a histogram.
CREATE TABLE papers (
  id int PRIMARY KEY, body json, at point NOT NULL SRID 4326,
  kind varchar(20) GENERATED ALWAYS AS (body->>'$.kind') STORED,
  words int GENERATED ALWAYS AS (char_length(body)) VIRTUAL,
  CONSTRAINT small CHECK (id < 1000), CONSTRAINT odd CHECK (id % 2 = 1) NOT ENFORCED,
  KEY lower_kind ((CAST(body->>'$.kind' AS char(20)) COLLATE utf8mb4_bin)), KEY tags ((CAST(body->'$.tags' AS unsigned ARRAY))), SPATIAL KEY (at)
);
INSERT INTO papers (id, body, at) VALUES
  (1, '{"kind": "note", "tags": [1, 2], "emoji": "🐘"}', ST_SRID(Point(8.5, 47.4), 4326)),
  (2, '{"kind": "a \\"b\\" c", "tags": []}', ST_SRID(Point(0, 0), 4326));
CREATE TABLE days (d date NOT NULL, n int, PRIMARY KEY (d, n))
  PARTITION BY RANGE COLUMNS (d) (PARTITION p2025 VALUES LESS THAN ('2026-01-01'), PARTITION later VALUES LESS THAN (MAXVALUE));
INSERT INTO days VALUES ('2025-12-31', 1), ('2026-01-01', 2);
ANALYZE TABLE papers UPDATE HISTOGRAM ON kind WITH 4 BUCKETS;

-- A library, which the server keeps even if it has no component that could run it.
CREATE LIBRARY plus COMMENT 'one more' LANGUAGE JAVASCRIPT AS $$ export function plus(n) { return n + 1 } $$;

DELIMITER //
CREATE FUNCTION gross(net int) RETURNS int DETERMINISTIC RETURN net * 2//
CREATE PROCEDURE raise_all() UPDATE orders SET cents = cents + 1//
CREATE TRIGGER papers_first BEFORE INSERT ON papers FOR EACH ROW SET NEW.body = JSON_SET(NEW.body, '$.by', 'first')//
CREATE TRIGGER papers_second BEFORE INSERT ON papers FOR EACH ROW FOLLOWS papers_first SET NEW.body = JSON_SET(NEW.body, '$.then', 1)//
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DISABLE DO BEGIN DELETE FROM days; END//
DELIMITER ;
CREATE VIEW spent AS SELECT customer, gross(sum(cents)) AS gross FROM orders GROUP BY customer;
