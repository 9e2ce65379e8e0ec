# PostgreSQL's part of a session: which tools, how to connect, how to dump, how a whole dump ends. libpq reads the connection
# from its environment, so no value is in an argument list and no name is taken for an option.

# In Debian, and so in the official images, psql and pg_dump in the PATH are a Perl script that looks for a server of this machine
# and then starts the program. That takes longer than most of our queries, so the programs of the image's version are started
# themselves.
case ${PG_MAJOR-} in
*[!0-9]* | '') ;;
*)
  case $(readlink -f "$(command -v psql)" 2>/dev/null) in
  */pg_wrapper) if [ -x "/usr/lib/postgresql/$PG_MAJOR/bin/psql" ]; then PATH=/usr/lib/postgresql/$PG_MAJOR/bin:$PATH; fi ;;
  esac
  ;;
esac

DB_TOOLS='pg_dump psql'
CLIENT=psql

# db_read_connection: reads the connection from stdin. Defaults are those of the official image.
db_read_connection() {
  read_value && PGHOST=$VALUE
  read_value && PGPORT=$VALUE
  read_value && { resolve "$VALUE" || VALUE=postgres; } && PGUSER=$VALUE
  read_value && if resolve "$VALUE"; then export PGPASSWORD="$VALUE"; fi
  read_value && { resolve "$VALUE" || VALUE=$PGUSER; } && PGDATABASE=$VALUE
  export PGHOST PGPORT PGUSER PGDATABASE PGAPPNAME=backup-ns PGCONNECT_TIMEOUT=15
}

db_tool_version() { pg_dump --version; }

# db_name: prints the resolved name of the database.
db_name() { printf '%s' "$PGDATABASE"; }

# db_answers: runs a query. db_dump: writes the dump to stdout. Both exec the tool, so the shell's process id becomes the tool's.
db_answers() { exec psql --no-psqlrc --no-password --quiet --tuples-only --command 'SELECT 1' >/dev/null; }
# db_dump_mode: PostgreSQL has one way to dump.
db_dump_mode() { :; }

db_dump() { exec pg_dump --no-password --format=plain --clean --if-exists; }

# db_report_facts: reports what there is to dump and what the user may read, one line each: whether the server is a standby, the
# number of tables, and the first tables, sequences and large objects that pg_dump reads and the user may not. pg_dump does not read what an extension made,
# except its configuration tables. A second query, which an older server may refuse, reports what pg_dump leaves out or may fail
# at although no right is missing, which tablespaces are used, and whether a load has room for its locks: it drops and creates every object in one
# transaction, with two locks for each.
db_report_facts() {
  exec psql --no-psqlrc --no-password --quiet --no-align --tuples-only --command "
    WITH all_of_it AS (
      SELECT c.oid, c.relkind, n.oid AS schema, pg_catalog.translate(n.nspname || '.' || c.relname, E'\r\n', '  ') AS name,
        x.oid IS NOT NULL AS by_extension
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_catalog.pg_extension x ON c.oid = ANY (x.extconfig)
      WHERE c.relkind IN ('r', 'p', 'S') AND (x.oid IS NOT NULL
        OR n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND NOT EXISTS (
          SELECT FROM pg_catalog.pg_depend d
          WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')))
    SELECT '$NONCE account ' || current_user
    UNION ALL SELECT '$NONCE server ' || pg_catalog.current_setting('server_version')
    UNION ALL SELECT '$NONCE standby yes' WHERE pg_catalog.pg_is_in_recovery()
    UNION ALL SELECT '$NONCE tables ' || count(*) FROM all_of_it WHERE relkind <> 'S' AND NOT by_extension
    UNION ALL (SELECT '$NONCE unreadable ' || name FROM all_of_it
      WHERE NOT (pg_catalog.has_schema_privilege(schema, 'USAGE') AND pg_catalog.has_table_privilege(oid, 'SELECT'))
        OR relkind = 'r' AND pg_catalog.row_security_active(oid)
      ORDER BY name LIMIT 4)
    UNION ALL (SELECT '$NONCE unreadable-object ' || oid FROM pg_catalog.pg_largeobject_metadata
      WHERE pg_catalog.current_setting('lo_compat_privileges') = 'off' AND NOT pg_catalog.pg_has_role(lomowner, 'USAGE')
        AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(lomacl) WHERE privilege_type = 'SELECT'
          AND (grantee = 0 OR pg_catalog.pg_has_role(grantee, 'USAGE')))
      ORDER BY oid LIMIT 4)" --command "
    WITH me AS (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user),
    left_out AS (
      SELECT 'subscription' AS kind, subname::text AS name FROM pg_catalog.pg_subscription, me WHERE NOT rolsuper
        AND subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
      UNION ALL SELECT 'mapping', usename || ' on ' || srvname FROM pg_catalog.pg_user_mappings, me
        WHERE NOT rolsuper AND umoptions IS NULL
      UNION ALL SELECT 'unlogged', nspname || '.' || relname FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
        WHERE pg_catalog.pg_is_in_recovery() AND relpersistence = 'u' AND relkind = 'r'
      UNION ALL SELECT 'encoding', client FROM pg_catalog.current_setting('client_encoding') client
        WHERE client NOT IN ('UTF8', 'SQL_ASCII', pg_catalog.current_setting('server_encoding'))
      UNION ALL SELECT DISTINCT 'tablespace', spcname FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_tablespace t ON t.oid = reltablespace JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
        WHERE spcname NOT IN ('pg_global', 'pg_default') AND relkind IN ('r', 'p', 'm', 'i', 'I') AND nspname <> 'information_schema'
          AND nspname !~ '^pg_'
      UNION ALL SELECT 'place', spcname FROM pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace t ON t.oid = dattablespace
        WHERE datname = pg_catalog.current_database() AND spcname <> 'pg_default'
      UNION ALL SELECT 'locks', pg_catalog.concat_ws(' ', needed, room, pg_catalog.ceil(needed * per / room / 64) * 64) FROM (
        SELECT per, needed, per * (SELECT 1 + sum(setting::numeric) FROM pg_catalog.pg_settings WHERE name IN (
            'max_connections', 'autovacuum_max_workers', 'max_worker_processes', 'max_wal_senders', 'max_prepared_transactions'))
            AS room
          FROM (SELECT 2 * count(DISTINCT (classid, objid)) AS needed FROM pg_catalog.pg_depend WHERE objid >= 16384) objects,
            (SELECT setting::numeric AS per FROM pg_catalog.pg_settings WHERE name = 'max_locks_per_transaction') of_one) locks
        WHERE needed > room),
    numbered AS (
      SELECT kind, name, pg_catalog.row_number() OVER (PARTITION BY kind ORDER BY name) AS number FROM left_out)
    SELECT '$NONCE left-out ' || kind || ' ' || pg_catalog.translate(name, E'\r\n', '  ') FROM numbered WHERE number < 5
    ORDER BY kind, name"
}

# db_inventory: prints what a dump holds and what its server is like, one line each: `object KIND NUMBER MARK`, where MARK changes
# when an object is created or dropped, and `property NAME VALUE`, settings included. Objects of extensions are not in a dump, so
# they are not counted. to_jsonb reads columns that older servers do not have.
db_inventory() {
  exec psql --no-psqlrc --no-password --quiet --no-align --tuples-only --command "
    WITH by_extension AS (SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e'),
    relation AS (
      SELECT c.oid, c.relkind FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
        AND NOT EXISTS (
          SELECT FROM by_extension e WHERE e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND e.objid = c.oid)),
    object AS (
      SELECT CASE relkind WHEN 'r' THEN 'tables' WHEN 'p' THEN 'partitionedTables' WHEN 'f' THEN 'foreignTables'
          WHEN 'v' THEN 'views' WHEN 'm' THEN 'materializedViews' WHEN 'S' THEN 'sequences' END AS kind, oid
        FROM relation
      UNION ALL SELECT 'indexes', i.indexrelid FROM pg_catalog.pg_index i JOIN relation r ON r.oid = i.indrelid
        WHERE i.indisvalid AND i.indisready AND r.relkind <> 'p'
      UNION ALL SELECT 'triggers', t.oid FROM pg_catalog.pg_trigger t JOIN relation r ON r.oid = t.tgrelid
        WHERE NOT t.tgisinternal
      UNION ALL SELECT 'policies', p.oid FROM pg_catalog.pg_policy p JOIN relation r ON r.oid = p.polrelid
      UNION ALL SELECT 'routines', p.oid FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND NOT EXISTS (
          SELECT FROM by_extension e WHERE e.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND e.objid = p.oid)
      UNION ALL SELECT 'extensions', oid FROM pg_catalog.pg_extension
      UNION ALL SELECT 'eventTriggers', t.oid FROM pg_catalog.pg_event_trigger t WHERE NOT EXISTS (
          SELECT FROM by_extension e
          WHERE e.classid = 'pg_catalog.pg_event_trigger'::pg_catalog.regclass AND e.objid = t.oid)),
    fact AS (
      SELECT 'object ' || kind || ' ' || count(*) || ' '
        || pg_catalog.md5(pg_catalog.string_agg(oid::text, ',' ORDER BY oid)) AS line FROM object GROUP BY kind
      UNION ALL SELECT 'property ' || key || ' ' || value FROM pg_catalog.pg_database d, LATERAL (VALUES
        ('version', pg_catalog.current_setting('server_version')),
        ('encoding', pg_catalog.pg_encoding_to_char(d.encoding)),
        ('localeProvider', pg_catalog.to_jsonb(d) ->> 'datlocprovider'),
        ('collate', d.datcollate::text), ('ctype', d.datctype::text),
        ('locale', coalesce(pg_catalog.to_jsonb(d) ->> 'datlocale', pg_catalog.to_jsonb(d) ->> 'daticulocale')),
        ('icuRules', pg_catalog.to_jsonb(d) ->> 'daticurules')) AS of_it (key, value)
        WHERE d.datname = pg_catalog.current_database() AND value IS NOT NULL
      UNION ALL SELECT 'property search_path ' || pg_catalog.string_agg(pg_catalog.quote_ident(name), ', ')
        FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) name
      UNION ALL SELECT 'property ' || name || ' ' || setting FROM pg_catalog.pg_settings
        WHERE name IN ('TimeZone', 'DateStyle', 'IntervalStyle', 'lc_monetary', 'lc_numeric', 'lc_time',
            'default_text_search_config', 'session_replication_role', 'transform_null_equals', 'array_nulls', 'xmlbinary',
            'lo_compat_privileges', 'default_toast_compression', 'shared_preload_libraries', 'session_preload_libraries',
            'local_preload_libraries')
          OR name LIKE '%.%' AND source NOT IN ('default', 'override')
      UNION ALL SELECT 'property ' || pg_catalog.split_part(entry, '=', 1) || ' '
          || pg_catalog.substr(entry, pg_catalog.strpos(entry, '=') + 1)
        FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) entry
        WHERE s.setdatabase = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
          AND s.setrole IN (0, (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user))
          AND pg_catalog.split_part(entry, '=', 1) LIKE '%.%')
    SELECT line FROM fact WHERE line !~ '[[:cntrl:]]' AND pg_catalog.length(line) < 2000 ORDER BY line LIMIT 200"
}

# db_is_complete TAIL: whether TAIL is the end of a whole dump: the closing comment, after which versions since 17.6, 16.10,
# 15.14, 14.19 and 13.22 write `\unrestrict KEY`. A row that looks like the comment is not the end.
db_is_complete() {
  end=$1
  last=${end##*"$nl"}
  case $last in
  '\unrestrict '*)
    end=${end%"$nl$last"}
    end=$(strip_final_newlines "$end")
    ;;
  esac
  case $end in *"$nl--$nl-- PostgreSQL database dump complete$nl--") return 0 ;; esac
  return 1
}

# db_shell: execs the interactive client.
db_shell() { exec psql; }

# db_list_roles: prints the roles that a file of roles on stdin makes, one a line as they are written there. Each is altered by the
# next line, unlike what a comment may say.
db_list_roles() {
  made=
  while IFS= read -r line; do
    case $line in
    'CREATE ROLE '*';') made=${line#CREATE ROLE } && made=${made%;} ;;
    "ALTER ROLE $made WITH "*)
      [ -z "$made" ] || printf '%s\n' "$made"
      made=
      ;;
    *) made= ;;
    esac
  done
}
