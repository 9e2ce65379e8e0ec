-- What MariaDB 10.11 has, and 11.8 must take as it is.
CREATE TABLE orders (
  id bigint unsigned AUTO_INCREMENT PRIMARY KEY,
  name varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci NOT NULL,
  amount decimal(20, 6) NOT NULL DEFAULT 0,
  doubled decimal(21, 6) GENERATED ALWAYS AS (amount * 2) STORED,
  at timestamp(6) NOT NULL DEFAULT '2026-01-01 01:02:03.000004',
  body json CHECK (json_valid(body)),
  mask bit(9), raw blob, place point,
  KEY (name(10)), FULLTEXT (name)
) AUTO_INCREMENT = 40;
INSERT INTO orders (name, amount, body, mask, raw, place) VALUES
  ('Ünïcödé 🐘', 1.5, '{"a": [1, 2]}', b'101010101', x'00ff0a0d275c', ST_GeomFromText('POINT(1 2)')),
  ('back\\slash, quote '' and "', -0.000001, NULL, b'0', '', NULL);
INSERT INTO orders (name) SELECT concat('row ', seq) FROM seq_1_to_200;
ALTER TABLE orders AUTO_INCREMENT = 1000;
CREATE TABLE notes (order_id bigint unsigned, body text, FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE)
  CHARACTER SET latin1;
INSERT INTO notes SELECT id, name FROM orders WHERE id > 41;
CREATE TABLE days (day date NOT NULL, number int) PARTITION BY RANGE (year(day)) (
  PARTITION p2025 VALUES LESS THAN (2026), PARTITION later VALUES LESS THAN MAXVALUE);
INSERT INTO days SELECT '2025-12-20' + INTERVAL seq DAY, seq FROM seq_1_to_30;
CREATE SEQUENCE small START WITH 3 INCREMENT BY 2 MAXVALUE 99 CYCLE;
DO nextval(small);
CREATE VIEW totals AS SELECT order_id, count(*) AS number FROM notes GROUP BY order_id;
DELIMITER //
CREATE PROCEDURE add_order(IN what varchar(100)) BEGIN INSERT INTO orders (name) VALUES (what); END //
CREATE FUNCTION twice(x int) RETURNS int DETERMINISTIC RETURN 2 * x //
CREATE TRIGGER stamp BEFORE INSERT ON orders FOR EACH ROW SET NEW.name = trim(NEW.name) //
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DO DELETE FROM days WHERE false //
DELIMITER ;
