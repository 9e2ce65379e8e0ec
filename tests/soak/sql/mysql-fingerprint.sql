-- A line for each thing that there is; equal where two databases hold the same. `measured.short` is left to the volume.
SET NAMES utf8mb4, time_zone = '+00:00';
SELECT 'kinds', table_type, count(*) FROM information_schema.tables WHERE table_schema = 'app' GROUP BY table_type ORDER BY table_type;
SELECT 'routine', routine_type, routine_name, definer FROM information_schema.routines WHERE routine_schema = 'app' ORDER BY 2, 3;
SELECT 'trigger', trigger_name, definer FROM information_schema.triggers WHERE trigger_schema = 'app' ORDER BY 2;
SELECT 'event', event_name, definer, interval_value FROM information_schema.events WHERE event_schema = 'app' ORDER BY 2;
SELECT 'view', table_name, definer FROM information_schema.views WHERE table_schema = 'app' ORDER BY 2;
SELECT 'keys', constraint_type, count(*) FROM information_schema.table_constraints
  WHERE constraint_schema = 'app' GROUP BY constraint_type ORDER BY 2;
SELECT 'sequence', next_not_cached_value, increment FROM numbers;
SELECT 'numbered', count(*), sum(a), sum(c), sum(d) FROM numbered;
SELECT 'price', count(*), sum(cents) FROM price;
SELECT 'history', count(*), sum(cents), count(DISTINCT row_end) FROM price FOR SYSTEM_TIME ALL;
SELECT 'customer', count(*), max(id) FROM customer;
SELECT 'sale', count(*), sum(cents) FROM sale;
SELECT 'new', count(*) FROM sale PARTITION (new);
SELECT 'bought', count(*), sum(cents), (SELECT count(*) FROM noted) FROM bought;
SELECT 'measured', sum(exact), count(short) FROM measured;
SELECT 'odd', hex(`a column`), t, j, s FROM `odd ``table` ORDER BY t;
SELECT 'yearly', y, cents FROM a_first ORDER BY y;
SELECT 'functions', twice(4), (SELECT count(*) FROM mysql.proc WHERE db = 'app' AND type LIKE 'PACKAGE%');
