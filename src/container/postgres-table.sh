# PostgreSQL's part of a load of one table. All of it is one transaction: the table is made in a scratch schema, so that nothing of
# it is in the way of what is there, and then gets its name and schema.

# db_load: loads the table $FROM_TABLE of the dump as $TO_TABLE.
db_load() {
  state='the database is as it was: all of it was one transaction'
  say state "$state"
  scratch=backup_ns_$(printf %.12s "$NONCE")
  check_target
  unsure='the database is as it was, or the table is loaded: the end of the transaction was not heard of'
  say phase load
  choose_quick_unpacker
  load_through filter_table || {
    # Status 3: psql stopped at an error, so the server has rolled back.
    [ "$client_status" != 3 ] || say state "$state"
    [ "$filtered" != 4 ] || lost absent "the dump holds no table $FROM_SCHEMA.$FROM_TABLE"
    lost other "$why"
  }
  grep "^$NONCE left " "$own.out" || :
}

# db_report_roles: for one table, roles are not compared.
db_report_roles() { :; }

undo() { :; }

db_client() { exec psql --no-psqlrc --no-password --quiet --no-align --tuples-only --output=/dev/null --set=ON_ERROR_STOP=1; }

# check_target: gives up before anything is loaded if the table cannot get its name.
check_target() {
  target=$TO_SCHEMA.$TO_TABLE
  db_ask_target | psql --no-psqlrc --no-password --quiet --no-align --tuples-only --set=ON_ERROR_STOP=1 >"$own.target" &
  children=$!
  wait_for "$children" || lost other "the database cannot be asked"
  children=
  case $(tail -n 1 "$own.target") in
  schema) lost target "there is no schema $TO_SCHEMA" ;;
  other) lost target "$target is there, and is no table" ;;
  table)
    [ -n "$REPLACE" ] || lost there "the table $target is there"
    # Whether it can be replaced is known before its rows are loaded.
    db_try_drop | psql --no-psqlrc --no-password --quiet --set=ON_ERROR_STOP=1 >/dev/null &
    children=$!
    wait_for "$children" || lost depends "the table $target cannot be replaced"
    children=
    ;;
  esac
}

# db_ask_target: prints a query whose last line says what is at the table's name.
db_ask_target() {
  db_settings
  cat <<EOF
SELECT CASE WHEN pg_catalog.to_regnamespace(pg_catalog.quote_ident($(literal "$TO_SCHEMA"))) IS NULL THEN 'schema'
  ELSE (SELECT CASE WHEN relkind IN ('r', 'p') THEN 'table' ELSE 'other' END FROM pg_catalog.pg_class
    WHERE relnamespace = pg_catalog.to_regnamespace(pg_catalog.quote_ident($(literal "$TO_SCHEMA")))
      AND relname = $(literal "$TO_TABLE")) END;
EOF
}

db_try_drop() {
  db_settings
  printf 'BEGIN;\nDROP TABLE %s.%s;\nROLLBACK;\n' "$(identifier "$TO_SCHEMA")" "$(identifier "$TO_TABLE")"
}

# literal TEXT, identifier TEXT: prints TEXT as SQL, where standard_conforming_strings is on.
literal() { printf "'%s'" "$(double "'" "$1")"; }
identifier() { printf '"%s"' "$(double '"' "$1")"; }

# db_settings: prints what turns off settings of the role or database that would end a load or change what it loads.
db_settings() {
  cat <<'EOF'
SELECT pg_catalog.set_config(name, value, false) FROM pg_catalog.pg_settings JOIN (VALUES ('statement_timeout', '0'),
  ('lock_timeout', '0'), ('transaction_timeout', '0'), ('idle_in_transaction_session_timeout', '0'),
  ('client_connection_check_interval', '2s'), ('array_nulls', 'on'), ('transform_null_equals', 'off'),
  ('standard_conforming_strings', 'on')
) AS wanted (name, value) USING (name);
EOF
}

# db_prologue: prints what runs before the table's statements. backup_ns_try runs a statement whose objects or roles may be
# missing, and notes it if they are.
db_prologue() {
  db_settings
  cat <<EOF
BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE;
CREATE TEMPORARY TABLE backup_ns_left (number serial, what text);
CREATE FUNCTION pg_temp.backup_ns_try(statement text, what text) RETURNS void LANGUAGE plpgsql AS \$backup_ns\$
  BEGIN
    EXECUTE statement;
  EXCEPTION WHEN syntax_error_or_access_rule_violation OR invalid_schema_name OR invalid_grant_operation THEN
    INSERT INTO pg_temp.backup_ns_left VALUES (DEFAULT, what || ' (' || SQLERRM || ')');
  END \$backup_ns\$;
CREATE SCHEMA $scratch;
EOF
}

# db_epilogue: prints what runs after them. The table leaves its parents, so that they do not show its rows; it replaces the table
# that is there; it and its indexes and sequences move to their schema, with other names where theirs are taken.
db_epilogue() {
  cat <<EOF
SELECT pg_catalog.set_config('backup_ns.' || name, value, true) FROM (VALUES ('scratch', '$scratch'),
  ('from_table', $(literal "$FROM_TABLE")), ('to_schema', $(literal "$TO_SCHEMA")), ('to_table', $(literal "$TO_TABLE"))
) AS wanted (name, value);
DO \$backup_ns\$
  DECLARE
    scratch text := pg_catalog.current_setting('backup_ns.scratch');
    from_table text := pg_catalog.current_setting('backup_ns.from_table');
    to_schema text := pg_catalog.current_setting('backup_ns.to_schema');
    to_table text := pg_catalog.current_setting('backup_ns.to_table');
    loaded regclass := pg_catalog.format('%I.%I', scratch, from_table)::regclass;
    part record;
    name text;
    number int;
  BEGIN
    FOR part IN SELECT inhparent::regclass AS parent FROM pg_catalog.pg_inherits WHERE inhrelid = loaded LOOP
      EXECUTE pg_catalog.format('ALTER TABLE %s NO INHERIT %s', loaded, part.parent);
      INSERT INTO pg_temp.backup_ns_left VALUES (DEFAULT, 'inheritance from ' || part.parent);
    END LOOP;
    IF '$REPLACE' = 'yes' THEN EXECUTE pg_catalog.format('DROP TABLE IF EXISTS %I.%I', to_schema, to_table); END IF;
    FOR part IN SELECT oid::regclass AS relation, relname::text, relkind FROM pg_catalog.pg_class
      WHERE relnamespace = pg_catalog.to_regnamespace(scratch) AND relkind IN ('i', 'S') ORDER BY oid
    LOOP
      name := part.relname;
      number := 0;
      WHILE name = to_table OR pg_catalog.to_regclass(pg_catalog.format('%I.%I', to_schema, name)) IS NOT NULL
        OR name <> part.relname AND pg_catalog.to_regclass(pg_catalog.format('%I.%I', scratch, name)) IS NOT NULL
      LOOP
        IF number = 0 AND pg_catalog.left(name, pg_catalog.length(from_table) + 1) = from_table || '_' THEN
          name := pg_catalog.left(to_table || pg_catalog.substr(name, pg_catalog.length(from_table) + 1), 55);
        ELSE
          name := pg_catalog.left(part.relname, 55) || '_' || number;
        END IF;
        number := number + 1;
      END LOOP;
      IF name <> part.relname THEN
        EXECUTE pg_catalog.format('ALTER %s %s RENAME TO %I', CASE part.relkind WHEN 'i' THEN 'INDEX' ELSE 'SEQUENCE' END,
          part.relation, name);
      END IF;
    END LOOP;
    IF to_table <> from_table THEN EXECUTE pg_catalog.format('ALTER TABLE %s RENAME TO %I', loaded, to_table); END IF;
    EXECUTE pg_catalog.format('ALTER TABLE %I.%I SET SCHEMA %I', scratch, to_table, to_schema);
    EXECUTE pg_catalog.format('DROP SCHEMA %I', scratch);
  END \$backup_ns\$;
\o
SELECT '$NONCE left ' || pg_catalog.translate(what, E'\r\n', '  ') FROM pg_temp.backup_ns_left ORDER BY number LIMIT 100;
COMMIT;
SELECT '$NONCE';
EOF
}

# filter_table: filters a dump on stdin to what belongs to one table, in the schema $scratch: its definition, rows, constraints,
# indexes, comments, the sequences that it owns with their values, its owner and grants where their roles exist. What refers to
# other objects, or runs by itself, is noted instead: foreign keys, triggers, rules, policies, statistics, publications.
# Rows of other tables are skipped without a look. Ends with status 4 if the dump does not hold the table.
#
# A statement begins only outside of quotes and dollar quotes, and where the one before it ended, because names, texts and bodies
# of functions may hold anything.
filter_table() {
  export FROM_SCHEMA FROM_TABLE scratch
  exec awk '
    BEGIN {
      schema = ENVIRON["FROM_SCHEMA"]
      table = ENVIRON["FROM_TABLE"]
      scratch = ENVIRON["scratch"]
      moved = scratch "." quoted(table)
    }
    function quoted(text) {
      gsub(/"/, "\"\"", text)
      return "\"" text "\""
    }
    function literal(text) {
      gsub(/\047/, "\047\047", text)
      return "\047" text "\047"
    }
    # Reads a name from the beginning of a text: `word`, and `rest` behind it.
    function is_name(text) {
      if (match(text, /^"([^"]|"")*"/)) {
        rest = substr(text, RLENGTH + 1)
        word = substr(text, 2, RLENGTH - 2)
        gsub(/""/, "\"", word)
        return 1
      }
      if (!match(text, /^[a-z_][a-z0-9_]*/)) return 0
      rest = substr(text, RLENGTH + 1)
      word = substr(text, 1, RLENGTH)
      return 1
    }
    # The same for a name with its schema, which goes to `first`.
    function is_qualified(text) {
      if (!is_name(text) || substr(rest, 1, 1) != ".") return 0
      first = word
      return is_name(substr(rest, 2))
    }
    function is_table(text) { return is_qualified(text) && first == schema && word == table }
    function is_owned(text) { return is_qualified(text) && (first, word) in owned }
    # Whether the first qualified name behind `between` is the table.
    function is_about(text, between,    at) {
      while (at = index(text, between)) {
        text = substr(text, at + length(between))
        if (is_qualified(text)) return first == schema && word == table
      }
      return 0
    }
    # Whether a literal at the beginning of a text is the name of a sequence that the table owns; `rest` is what is behind it.
    function is_owned_literal(text,    name, behind) {
      if (!match(text, /^\047([^\047]|\047\047)*\047/)) return 0
      behind = substr(text, RLENGTH + 1)
      name = substr(text, 2, RLENGTH - 2)
      gsub(/\047\047/, "\047", name)
      if (!is_owned(name)) return 0
      rest = behind
      return 1
    }
    # The sequence that was just read is owned by the table; its new name.
    function own() {
      owned[first, word]
      return scratch "." quoted(word)
    }
    function try(statement, what) {
      print "SELECT pg_temp.backup_ns_try(" literal(statement) ", " literal(what) ");"
    }
    function leave(what) { print "INSERT INTO pg_temp.backup_ns_left VALUES (DEFAULT, " literal(what) ");" }
    function refuse(why) {
      why = "the table " schema "." table " " why
      print "DO $backup_ns$ BEGIN RAISE EXCEPTION USING MESSAGE = " literal(why) "; END $backup_ns$;"
    }

    function take(text,    kind, behind, what) {
      if (text ~ /^SET /) {
        if (text !~ /^SET (SESSION|ROLE)/) print text
      } else if (match(text, /^CREATE (UNLOGGED |FOREIGN )?TABLE /)) {
        kind = substr(text, 1, RLENGTH)
        if (!is_table(substr(text, RLENGTH + 1))) return
        found = 1
        if (kind ~ /FOREIGN/) refuse("is a foreign table, whose rows are elsewhere")
        if (rest ~ /\)\nPARTITION BY [^\n]*;$/) refuse("is partitioned: its rows are in its partitions, which can be restored")
        print kind moved rest
      } else if (match(text, /^CREATE (UNLOGGED )?SEQUENCE /)) {
        kind = substr(text, 1, RLENGTH)
        if (is_qualified(substr(text, RLENGTH + 1))) {
          sequence_kind[first, word] = kind
          sequence[first, word] = rest
        }
      } else if (match(text, /^ALTER (TABLE|SEQUENCE) (ONLY )?/)) alter(substr(text, RLENGTH + 1))
      else if (match(text, /^CREATE (UNIQUE )?INDEX /)) {
        kind = substr(text, 1, RLENGTH)
        if (!is_name(substr(text, RLENGTH + 1))) return
        what = word
        if (!match(rest, /^ ON (ONLY )?/) || !is_table(substr(rest, RLENGTH + 1))) return
        index_of[what]
        try(kind quoted(what) " ON " moved rest, "index " what)
      } else if (match(text, /^ALTER INDEX /)) {
        if (is_qualified(substr(text, 13)) && first == schema && word in index_of && rest !~ /^ ATTACH /)
          try("ALTER INDEX " scratch "." quoted(word) rest, "a setting of index " word)
      } else if (match(text, /^COMMENT ON /)) comment(substr(text, 12))
      else if (text ~ /^(GRANT|REVOKE) / && match(text, / ON (TABLE|SEQUENCE) /)) {
        kind = substr(text, 1, RSTART + RLENGTH - 1)
        behind = substr(text, RSTART + RLENGTH)
        if (kind ~ / TABLE $/ ? !is_table(behind) : !is_owned(behind)) return
        grant[++grants] = kind scratch "." quoted(word) rest
        grant_name[grants] = (text ~ /^G/ ? "grant" : "revocation") rest
        sub(/;$/, "", grant_name[grants])
      } else if (match(text, /^SELECT pg_catalog\.setval\(/)) {
        if (is_owned_literal(substr(text, RLENGTH + 1)))
          print "SELECT pg_catalog.setval(" literal(scratch "." quoted(word)) rest
      } else if (match(text, /^CREATE (CONSTRAINT TRIGGER|TRIGGER|POLICY|RULE) /)) {
        kind = tolower(substr(text, 8, RLENGTH - 8))
        what = is_name(substr(text, RLENGTH + 1)) ? word : ""
        if (is_about(rest, kind == "rule" ? " TO " : " ON ")) leave(kind " " what)
      } else if (match(text, /^CREATE STATISTICS /)) {
        if (!is_qualified(substr(text, RLENGTH + 1))) return
        what = first "." word
        if (is_about(rest, " FROM ")) leave("statistics " what)
      } else if (match(text, /^ALTER PUBLICATION /)) {
        what = is_name(substr(text, RLENGTH + 1)) ? word : ""
        if (match(rest, /^ ADD TABLE (ONLY )?/) && is_table(substr(rest, RLENGTH + 1))) leave("its place in publication " what)
      } else if (match(text, /^SECURITY LABEL .* ON (TABLE|COLUMN) /)) {
        if (is_table(substr(text, RLENGTH + 1))) leave("a security label")
      }
    }
    # What is altered, a table or a sequence, with how.
    function alter(text,    behind, what, place, from, name) {
      if (is_table(text)) {
        if (found) change(rest)
        return
      }
      if (!is_qualified(text)) return
      from = first
      name = word
      behind = rest
      if (behind ~ /^ ATTACH PARTITION /) {
        if (is_table(substr(behind, 19))) leave("its place among the partitions of " from "." name)
      } else if (behind ~ /^ OWNED BY / && (from, name) in sequence && is_table(substr(behind, 11)) && found) {
        behind = rest
        first = from
        word = name
        place = own()
        print sequence_kind[from, name] place sequence[from, name]
        print "ALTER SEQUENCE " place " OWNED BY " moved behind
      }
    }
    # An ALTER TABLE of the table.
    function change(action,    at, head, behind, name) {
      if (match(action, /^ OWNER TO /)) {
        owner = action
        owner_name = substr(action, RLENGTH + 1)
        sub(/;$/, "", owner_name)
      } else if (match(action, /^[ \n]+ADD CONSTRAINT /)) {
        name = is_name(substr(action, RLENGTH + 1)) ? word : ""
        if (rest ~ /^ FOREIGN KEY /) {
          foreign[name]
          leave("foreign key " name)
        } else try("ALTER TABLE ONLY " moved action, "constraint " name)
      } else if (action ~ /^ (ENABLE|DISABLE) (ALWAYS |REPLICA )?(TRIGGER|RULE) /) return
      else if (at = index(action, "\n    SEQUENCE NAME ")) {
        head = substr(action, 1, at + 18)
        if (is_qualified(substr(action, at + 19))) {
          behind = rest
          print "ALTER TABLE " moved head own() behind
        }
      } else if (match(action, / SET DEFAULT nextval\(/)) {
        head = substr(action, 1, RSTART + RLENGTH - 1)
        if (is_owned_literal(substr(action, RSTART + RLENGTH)))
          print "ALTER TABLE ONLY " moved head literal(scratch "." quoted(word)) rest
        else try("ALTER TABLE ONLY " moved action, "a default")
      } else if (action ~ / SET DEFAULT /) try("ALTER TABLE ONLY " moved action, "a default")
      else print "ALTER TABLE ONLY " moved action
    }
    function comment(text,    name) {
      if (match(text, /^(TABLE|COLUMN) /)) {
        name = substr(text, 1, RLENGTH)
        if (is_table(substr(text, RLENGTH + 1))) print "COMMENT ON " name moved rest
      } else if (match(text, /^CONSTRAINT /) && is_name(substr(text, RLENGTH + 1))) {
        name = word
        if (rest ~ /^ ON / && is_table(substr(rest, 5)) && !(name in foreign))
          try("COMMENT ON CONSTRAINT " quoted(name) " ON " moved rest, "comment on constraint " name)
      } else if (match(text, /^INDEX /)) {
        if (is_qualified(substr(text, RLENGTH + 1)) && first == schema && word in index_of)
          try("COMMENT ON INDEX " scratch "." quoted(word) rest, "comment on index " word)
      } else if (match(text, /^SEQUENCE /)) {
        if (is_owned(substr(text, RLENGTH + 1))) print "COMMENT ON SEQUENCE " scratch "." quoted(word) rest
      }
    }

    # Reads a line from where the last one left off: `quote` is what closes the quote that is open.
    function scan(text,    token, at) {
      while (text != "") {
        if (quote == "") {
          if (!match(text, /[\047"]|\$[A-Za-z0-9_]*\$|--/)) return
          token = substr(text, RSTART, RLENGTH)
          if (token == "--") return
          escapes = token == "\047" && substr(text, 1, RSTART - 1) ~ /(^|[^A-Za-z0-9_$])[Ee]$/
          quote = token
          text = substr(text, RSTART + RLENGTH)
        } else if (escapes) {
          if (!match(text, /\\.|\047\047|\047/)) return
          if (substr(text, RSTART, RLENGTH) == "\047") quote = escapes = ""
          text = substr(text, RSTART + RLENGTH)
        } else {
          if (!(at = index(text, quote))) return
          text = substr(text, at + length(quote))
          quote = ""
        }
      }
    }

    copying { print; if ($0 == "\\.") copying = 0; next }
    statement == "" {
      if ($0 == "" || /^--/ || /^SELECT pg_catalog\.lo(write|_open|_close|_create)\(/) next
      if (/^\\/) {
        if (/^\\(un)?restrict /) print
        next
      }
    }
    {
      statement = statement == "" ? $0 : statement "\n" $0
      scan($0)
      if (quote != "" || !/;$/) next
      if (statement ~ /^COPY / && statement ~ / FROM stdin;$/) {
        if (is_table(substr(statement, 6)) && found) {
          print "COPY " moved rest
          copying = 1
        } else {
          # Skips the rows of others, which are most of a dump; also ends at the end of a file that was cut off.
          while ((getline row) > 0 && row != "\\.") continue
        }
      } else take(statement)
      statement = ""
    }
    END {
      if (!found) exit 4
      if (owner != "") try("ALTER TABLE " moved owner, "owner " owner_name)
      # The default privileges of this user would change what the dump grants.
      print "DO $backup_ns$ DECLARE part record; BEGIN FOR part IN SELECT c.oid::regclass AS relation, relkind, grantee"
      print "  FROM pg_catalog.pg_class c, LATERAL pg_catalog.aclexplode(relacl)"
      print "  WHERE relnamespace = pg_catalog.to_regnamespace(" literal(scratch) ") AND relkind IN (\047r\047, \047S\047)"
      print "  AND grantee <> relowner GROUP BY c.oid, relkind, grantee LOOP"
      print "  EXECUTE pg_catalog.format(\047REVOKE ALL ON %s %s FROM %s\047,"
      print "  CASE part.relkind WHEN \047S\047 THEN \047SEQUENCE\047 ELSE \047TABLE\047 END, part.relation,"
      print "  CASE part.grantee WHEN 0 THEN \047PUBLIC\047 ELSE part.grantee::pg_catalog.regrole::text END);"
      print "END LOOP; END $backup_ns$;"
      for (at = 1; at <= grants; at++) try(grant[at], grant_name[at])
    }
  '
}
