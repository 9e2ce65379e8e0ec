-- A line for each thing that there is; equal where two databases hold the same.
SELECT 'kinds', relkind, count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
  WHERE nspname IN ('shop', 'public') GROUP BY relkind ORDER BY relkind;
SELECT 'owner', relname, rolname FROM pg_class c JOIN pg_roles r ON r.oid = relowner
  WHERE relnamespace = 'shop'::regnamespace AND rolname <> 'app' ORDER BY relname COLLATE "C";
SELECT 'parts', inhparent::regclass, count(*) FROM pg_inherits GROUP BY inhparent ORDER BY inhparent::regclass::text COLLATE "C";
SELECT 'constraints', contype, count(*), sum(convalidated::int) FROM pg_constraint
  WHERE connamespace = 'shop'::regnamespace GROUP BY contype ORDER BY contype;
SELECT 'defaults', count(*), md5(string_agg(pg_get_expr(adbin, adrelid), ' ' ORDER BY pg_get_expr(adbin, adrelid) COLLATE "C"))
  FROM pg_attrdef d JOIN pg_class c ON c.oid = adrelid WHERE relnamespace = 'shop'::regnamespace;
SELECT 'rules', (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal), (SELECT count(*) FROM pg_policies),
  (SELECT count(*) FROM pg_default_acl), (SELECT count(*) FROM pg_proc WHERE pronamespace = 'shop'::regnamespace);
SELECT 'sequence', sequencename, last_value, increment_by FROM pg_sequences WHERE schemaname = 'shop' ORDER BY 2;
SELECT 'sale', tableoid::regclass, count(*), sum(cents) FROM shop.sale GROUP BY tableoid ORDER BY tableoid::regclass::text COLLATE "C";
SELECT 'receipt', count(*), sum(sale) FROM shop.receipt;
SELECT 'hashed', count(*), sum(n), md5(string_agg(id, ' ' ORDER BY n)) FROM shop.hashed;
SELECT 'person', count(*), string_agg(name, ' ' ORDER BY name COLLATE "C") FROM ONLY shop.person;
SELECT 'clerk', count(*), sum(desk) FROM shop.clerk;
SELECT 'numbered', count(*), sum(a), sum(b), sum(c), sum(d), sum(length(e)) FROM shop.numbered;
SELECT 'words', string_agg(w, ' ' ORDER BY w COLLATE "C"), string_agg(lowered, ' ' ORDER BY w COLLATE "C") FROM shop.words;
SELECT 'opened', string_agg(at::text, ' ' ORDER BY at) FROM shop.opened;
SELECT 'owned', count(*), min(tenant), sum(n) FROM shop.owned;
SELECT 'monthly', count(*), sum(cents), (SELECT cents FROM shop.best) FROM shop.monthly;
SELECT 'lines', count(*), md5(string_agg(t, '|' ORDER BY t COLLATE "C")) FROM shop."a table
with a line";
SELECT 'large', m.oid, rolname, md5(lo_get(m.oid)), obj_description(m.oid, 'pg_largeobject')
  FROM pg_largeobject_metadata m JOIN pg_roles r ON r.oid = lomowner ORDER BY m.oid;
