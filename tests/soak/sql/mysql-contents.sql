-- Contents that were seen to make a dump, its load or its verdict go wrong. None of it changes during a soak.
SET NAMES utf8mb4;

-- Numbers from sequences, and columns that are computed.
CREATE SEQUENCE numbers START WITH 1000 INCREMENT BY 7 CACHE 5;
CREATE TABLE numbered (
  a bigint PRIMARY KEY DEFAULT nextval(numbers), b varchar(20), c int AS (length(b)) PERSISTENT, d int AS (length(b) * 2) VIRTUAL
);
INSERT INTO numbered (b) SELECT concat('row ', seq) FROM seq_1_to_40;

-- A table with history.
CREATE TABLE price (id int PRIMARY KEY, cents int) WITH SYSTEM VERSIONING;
INSERT INTO price SELECT seq, seq FROM seq_1_to_20;
UPDATE price SET cents = cents + 100;
UPDATE price SET cents = cents * 2 WHERE id <= 10;
DELETE FROM price WHERE id = 20;

-- Partitions, keys to others, numbers that text does not carry, times, bytes, odd names.
CREATE TABLE customer (id int AUTO_INCREMENT PRIMARY KEY, name varchar(40) NOT NULL) AUTO_INCREMENT = 500;
INSERT INTO customer (name) SELECT concat('customer ', seq) FROM seq_1_to_50;
CREATE TABLE sale (id int, day date, cents int CHECK (cents >= 0), PRIMARY KEY (id, day))
  PARTITION BY RANGE (year(day)) (PARTITION old VALUES LESS THAN (2026), PARTITION new VALUES LESS THAN MAXVALUE);
INSERT INTO sale SELECT seq, '2025-07-01' + INTERVAL (seq % 365) DAY, seq FROM seq_1_to_300;
CREATE TABLE bought (customer int, cents int, FOREIGN KEY (customer) REFERENCES customer (id) ON DELETE CASCADE);
INSERT INTO bought SELECT 500 + seq % 50, seq FROM seq_1_to_100;
CREATE TABLE measured (id int PRIMARY KEY, short float, exact double);
INSERT INTO measured VALUES (1, 16777215, 16777215), (2, 0.1, 0.1), (3, -1.5, -1.5);
CREATE TABLE `odd ``table` (`a column` blob, t timestamp NOT NULL DEFAULT '2026-01-01 12:00:00', j json, s set('a b', 'c'));
INSERT INTO `odd ``table` VALUES (x'00ff5c27220a', '2026-06-30 23:59:59', '{"a": "\\"b"}', 'c'), (NULL, DEFAULT, NULL, '');

-- Views on views, routines, triggers, events and a package, of accounts that other servers do not have.
CREATE DEFINER = 'maker'@'10.1.%' SQL SECURITY DEFINER VIEW daily AS SELECT day, sum(cents) AS cents FROM sale GROUP BY day;
CREATE DEFINER = 'reader'@'%' SQL SECURITY DEFINER VIEW yearly AS SELECT year(day) AS y, sum(cents) AS cents FROM daily GROUP BY y;
CREATE DEFINER = 'maker'@'10.1.%' VIEW a_first AS SELECT y, cents FROM yearly;
CREATE TABLE noted (what varchar(60));
DELIMITER $$
CREATE DEFINER = 'maker'@'10.1.%' TRIGGER sold AFTER INSERT ON bought FOR EACH ROW BEGIN
  INSERT INTO noted VALUES (concat('LOCK TABLES ', NEW.cents, ';'));
END$$
CREATE DEFINER = 'maker'@'10.1.%' FUNCTION twice(n int) RETURNS int DETERMINISTIC RETURN n * 2$$
CREATE DEFINER = 'reader'@'%' PROCEDURE tell() SQL SECURITY INVOKER BEGIN SELECT twice(21); END$$
CREATE DEFINER = 'maker'@'10.1.%' EVENT never ON SCHEDULE EVERY 1 YEAR STARTS '2036-01-01 00:00:00' DO BEGIN DELETE FROM noted; END$$
SET sql_mode = 'ORACLE'$$
CREATE DEFINER = 'maker'@'10.1.%' PACKAGE tools AS FUNCTION three() RETURN int; END$$
CREATE DEFINER = 'maker'@'10.1.%' PACKAGE BODY tools AS FUNCTION three() RETURN int AS BEGIN RETURN 3; END; END$$
SET sql_mode = DEFAULT$$
DELIMITER ;
INSERT INTO bought VALUES (501, 9);
