# How a dump of PostgreSQL replaces the objects of a database, for a load and for its test: in one transaction, without the dump's
# own DROP statements, and so that no object is lost that is not in the dump.

# db_prologue: prints what runs before the dump. It turns off settings of the role or database that would end a load or change
# what it loads, and has a server that can do so stop when its client is gone. It begins the transaction, with a deferred
# constraint that is violated, so that no COMMIT succeeds before db_epilogue. It notes all objects that could be dropped
# together with another. It notes and removes the user's default privileges, because they would change what the dump creates.
db_prologue() {
  cat <<'EOF'
SELECT pg_catalog.set_config(name, value, false) FROM pg_catalog.pg_settings JOIN (VALUES ('statement_timeout', '0'),
  ('lock_timeout', '0'), ('transaction_timeout', '0'), ('idle_in_transaction_session_timeout', '0'),
  ('client_connection_check_interval', '2s'), ('array_nulls', 'on'), ('transform_null_equals', 'off')
) AS wanted (name, value) USING (name);
BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE;
CREATE TEMPORARY TABLE backup_ns_gate (n int UNIQUE DEFERRABLE INITIALLY DEFERRED);
INSERT INTO pg_temp.backup_ns_gate VALUES (1), (1);
CREATE TEMPORARY TABLE backup_ns_lost (type text, identity text);
CREATE TEMPORARY TABLE backup_ns_before AS
  SELECT d.*, o.type, o.identity FROM pg_catalog.pg_depend d,
    LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, d.objsubid) o WHERE d.objid >= 16384;
CREATE TEMPORARY TABLE backup_ns_gone AS TABLE pg_temp.backup_ns_before WITH NO DATA;
CREATE TEMPORARY TABLE backup_ns_default AS
  SELECT defaclnamespace, defaclobjtype, defaclacl, objects, pg_catalog.concat('ALTER DEFAULT PRIVILEGES',
    ' IN SCHEMA ' || pg_catalog.quote_ident(nspname)) AS command
  FROM pg_catalog.pg_default_acl LEFT JOIN pg_catalog.pg_namespace n ON n.oid = defaclnamespace
  JOIN (VALUES ('r', 'TABLES'), ('S', 'SEQUENCES'), ('f', 'FUNCTIONS'), ('T', 'TYPES'), ('n', 'SCHEMAS'), ('L', 'LARGE OBJECTS')
  ) AS kinds (kind, objects) ON kind = defaclobjtype::text
  WHERE defaclrole = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user);
SELECT DISTINCT pg_catalog.format('%s REVOKE ALL ON %s FROM %s', command, objects,
  CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::pg_catalog.regrole::text END)
  FROM pg_temp.backup_ns_default, LATERAL pg_catalog.aclexplode(defaclacl) \gexec
SELECT pg_catalog.format('%s GRANT ALL ON %s TO CURRENT_USER', command, objects)
  || CASE WHEN defaclobjtype IN ('f', 'T') THEN ', PUBLIC' ELSE '' END
  FROM pg_temp.backup_ns_default WHERE defaclnamespace = 0 \gexec
EOF
}

# db_epilogue: prints what runs after the dump. It restores the default privileges that the dump does not set, and reports as
# `gone` what was dropped and is not in the dump. It commits if there is none of that or $how is `any`, but never if $how is
# `undo`. At last it prints the nonce: the end was reached. A part of a replaced object, such as an index of a table, is not
# reported; a table is never a part. It makes no table, because event triggers of the dump would run.
db_epilogue() {
  cat <<EOF
DELETE FROM pg_temp.backup_ns_default b USING pg_catalog.pg_default_acl d
  WHERE d.defaclrole = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user)
    AND d.defaclnamespace = b.defaclnamespace AND d.defaclobjtype = b.defaclobjtype;
SELECT pg_catalog.format('%s REVOKE ALL ON %s FROM CURRENT_USER, PUBLIC', command, objects)
  FROM pg_temp.backup_ns_default WHERE defaclnamespace = 0 \gexec
SELECT pg_catalog.format('%s GRANT %s ON %s TO %s', command, privilege_type, objects,
  CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::pg_catalog.regrole::text END)
  || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
  FROM pg_temp.backup_ns_default, LATERAL pg_catalog.aclexplode(defaclacl) \gexec
INSERT INTO pg_temp.backup_ns_gone
  SELECT * FROM pg_temp.backup_ns_before b WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = b.classid AND d.objid = b.objid AND d.objsubid = b.objsubid);
ANALYZE pg_temp.backup_ns_gone;
INSERT INTO pg_temp.backup_ns_lost
  WITH gone AS (SELECT DISTINCT classid, objid, objsubid FROM pg_temp.backup_ns_gone),
  parts AS (
    SELECT b.*, whole.objid IS NOT NULL OR part.objid IS NOT NULL AS whole_gone,
      b.objsubid > 0 AND own.objid IS NOT NULL AS column_gone
    FROM pg_temp.backup_ns_gone b
    LEFT JOIN gone whole ON (whole.classid, whole.objid, whole.objsubid) = (b.refclassid, b.refobjid, 0)
    LEFT JOIN gone part ON (part.classid, part.objid, part.objsubid) = (b.refclassid, b.refobjid, b.refobjsubid)
    LEFT JOIN gone own ON (own.classid, own.objid, own.objsubid) = (b.classid, b.objid, 0))
  SELECT type, identity FROM parts GROUP BY type, identity
  HAVING NOT bool_or(column_gone OR whole_gone AND deptype NOT IN ('n', 'a', 'x'))
    AND (type IN ('table', 'foreign table') OR NOT coalesce(bool_and(whole_gone) FILTER (WHERE deptype IN ('a', 'x')), false))
  EXCEPT SELECT o.type, o.identity FROM pg_catalog.pg_depend d,
    LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, d.objsubid) o WHERE d.objid >= 16384;
\o
SELECT '$NONCE gone ' || pg_catalog.translate(type || ' ' || identity, E'\r\n', '  ')
  FROM pg_temp.backup_ns_lost ORDER BY type <> 'table', type, identity LIMIT 100;
DELETE FROM pg_temp.backup_ns_gate;
SELECT CASE WHEN '$how' = 'undo' OR '$how' <> 'any' AND EXISTS (SELECT FROM pg_temp.backup_ns_lost) THEN 'ROLLBACK' ELSE 'COMMIT' END \gexec
SELECT '$NONCE';
EOF
}

# filter_for_replace [VIEWS SCHEMA]: filters a dump on stdin so that it can be loaded over existing objects.
# - pg_dump drops the parts of each table, which fails on inherited parts of a partition, and then the table, which fails if
#   something depends on it. The filter drops only whole objects, with CASCADE. Schemas are not dropped.
# - pg_dump replaces views that depend on themselves through a function, which fails if they do not exist. The filter omits that.
# - pg_dump puts large objects between a BEGIN and a COMMIT, which would end our transaction. The filter omits these.
# - pg_dump creates event triggers before it fills materialized views, and they may write to tables. The filter puts them last.
# - The search path stays the user's, because functions of indexes and constraints may need it. Rows are not changed.
# With VIEWS, the load is not one transaction: BEGIN and COMMIT stay, and the statements that fill materialized views go to that
# file. All but these and the data is also written to the file SCHEMA.
filter_for_replace() {
  exec awk -v views="${1-}" -v schema="${2-}" '
    function put(text) {
      print text
      if (schema != "" && !large) print text >schema
    }
    function drop(text, kind) {
      if (text ~ /^(ALTER|CREATE|DROP (SCHEMA|CONSTRAINT|INDEX|TRIGGER|POLICY|RULE) )/) return
      if (text ~ /^SELECT/) {
        gsub(/[^0-9]/, "", text)
        put("SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata WHERE oid = \047" text "\047;")
        return
      }
      match(text, /^DROP (FOREIGN DATA WRAPPER|TEXT SEARCH [A-Z]+|OPERATOR (CLASS|FAMILY)|(FOREIGN|MATERIALIZED|EVENT|ACCESS|PROCEDURAL|USER) [A-Z]+|[A-Z]+) (IF EXISTS )?/)
      kind = substr(text, 1, RLENGTH)
      text = substr(text, RLENGTH + 1)
      sub(/(IF EXISTS )?$/, "IF EXISTS ", kind)
      if (kind ~ /SUBSCRIPTION/) {
        sub(/;$/, "", text)
        name = text
        gsub(/\047/, "\047\047", name)
        put("DO $backup_ns$ BEGIN IF EXISTS (SELECT FROM pg_catalog.pg_subscription JOIN pg_catalog.pg_database d ON d.oid = subdbid")
        put("  WHERE datname = current_database() AND pg_catalog.quote_ident(subname) = \047" name "\047) THEN")
        put("  ALTER SUBSCRIPTION " text " DISABLE; ALTER SUBSCRIPTION " text " SET (slot_name = NONE); DROP SUBSCRIPTION " text ";")
        put("END IF; END $backup_ns$;")
        return
      }
      if (kind !~ /USER MAPPING/) sub(/;$/, " CASCADE;", text)
      put(kind text)
    }
    copying { print; if ($0 == "\\.") copying = 0; next }
    !body && $0 == "SELECT pg_catalog.set_config(\047search_path\047, \047\047, false);" { next }
    dropping || !body && /^(DROP|ALTER|CREATE OR REPLACE VIEW|SELECT pg_catalog\.lo_unlink\() ?/ {
      statement = dropping ? statement "\n" $0 : $0
      text = statement
      dropping = !(/;$/ && gsub(/"/, "", text) % 2 == 0)
      if (!dropping) drop(statement)
      next
    }
    held {
      if ($0 == "") { blank = blank "\n"; next }
      if (index($0, "SELECT pg_catalog.lo_open(") != 1) print "BEGIN;"
      printf "%s", blank
      held = 0
    }
    /^-- (Data for )?Name: .*; Type: / {
      body = 1
      event = /; Type: EVENT TRIGGER; / || /^-- Name: EVENT TRIGGER .*; Type: (COMMENT|SECURITY LABEL); /
      large = /; Type: BLOBS; /
      table = /; Type: TABLE DATA; /
      namespace = /; Type: SCHEMA; /
      view = views != "" && /; Type: MATERIALIZED VIEW DATA; /
    }
    /^-- PostgreSQL database dump complete$/ { event = view = 0 }
    event && !/^--/ { later = later $0 "\n"; next }
    view && !/^--/ { print >views; next }
    # A name may hold the end of a line.
    table && (copy != "" || /^COPY /) {
      print
      copy = copy $0
      if (copy ~ / FROM stdin;$/) {
        copying = 1
        copy = ""
      }
      next
    }
    large && views == "" && $0 == "BEGIN;" { held = 1; blank = ""; next }
    large && views == "" && $0 == "COMMIT;" && last == "SELECT pg_catalog.lo_close(0);" { next }
    namespace && /^CREATE SCHEMA / { sub(/^CREATE SCHEMA /, "CREATE SCHEMA IF NOT EXISTS "); namespace = 0 }
    $0 != "" { last = $0 }
    { put($0) }
    END {
      if (held) print "BEGIN;"
      large = 0
      put(later)
    }
  '
}
