# Which statements of a file of roles make the roles that a server lacks.

# filter_roles KNOWN LEFT: filters the file on stdin. It keeps what makes a role that is not in KNOWN, its attributes, settings and
# comment, and its memberships. Roles that are in KNOWN are not changed: a membership that one of them would get in a role that is
# made goes to LEFT. What belongs to a database or a role that is nowhere is left out, as are tablespaces. The server does not log
# these statements, and psql does not print them, because they hold the hashes of passwords.
#
# Since version 16, only the bootstrap superuser and roles with the admin option may be the grantor; the former may have another name
# here. So a membership that cannot be granted by its grantor is granted by the user.
filter_roles() {
  awk -v known="$1" -v left="$2" '
    BEGIN {
      while ((getline line <known) > 0) {
        if (line ~ /^role /) has[substr(line, 6)]
        else if (line ~ /^database /) databases[substr(line, 10)]
      }
      print "\\set VERBOSITY terse"
      print "SELECT pg_catalog.set_config(name, value, true) FROM (VALUES (\047log_statement\047, \047none\047),"
      print "  (\047log_min_error_statement\047, \047panic\047), (\047log_min_duration_statement\047, \047-1\047)) wanted (name, value)"
      print "  JOIN pg_catalog.pg_roles ON rolname = current_user AND rolsuper;"
    }
    # Puts the name at the beginning of the text in `name`, in double quotes, and the rest in `rest`. 1 if there is one.
    function take_name(text) {
      if (!match(text, /^"([^"]|"")+"/) && !match(text, /^[^ ",;()]+/)) return 0
      name = substr(text, 1, RLENGTH)
      rest = substr(text, RLENGTH + 1)
      if (name !~ /^"/) name = "\"" name "\""
      return 1
    }
    # Reads a line: `quote` is the quote that is open at its end.
    function scan(text, at, letter) {
      for (at = 1; at <= length(text); at++) {
        letter = substr(text, at, 1)
        if (quote == "" && (letter == "\047" || letter == "\"")) quote = letter
        else if (letter == quote) quote = ""
      }
    }
    function grant(text, role, plain) {
      if (!take_name(substr(text, 7)) || rest !~ /^ TO /) return
      role = name
      if (!take_name(substr(rest, 5))) return
      if (!(name in made)) {
        if (role in made && name in has) print role " TO " name >left
        return
      }
      if (!(role in has) && !(role in made)) return
      if (!match(text, / GRANTED BY ("([^"]|"")+"|[^ ",;()]+);$/)) {
        print text
        return
      }
      plain = substr(text, 1, RSTART - 1) ";"
      take_name(substr(text, RSTART + 12))
      if (name in has || name in made) {
        if (index(text, "$backup_ns$")) print plain
        else print "DO $backup_ns$ BEGIN " text " EXCEPTION WHEN OTHERS THEN " plain " END $backup_ns$;"
      } else print plain
    }
    function take(text) {
      if (text ~ /^SET client_encoding = \047[A-Za-z0-9_]+\047;$/) print text
      else if (text ~ /^CREATE ROLE /) {
        if (take_name(substr(text, 13)) && rest == ";" && !(name in has) && name !~ /^"pg_/) {
          made[name]
          print text
        }
      } else if (text ~ /^ALTER ROLE /) {
        if (!take_name(substr(text, 12)) || !(name in made)) return
        if (rest ~ /^ IN DATABASE / && (!take_name(substr(rest, 14)) || !(name in databases))) return
        print text
      } else if (text ~ /^COMMENT ON ROLE /) {
        if (take_name(substr(text, 17)) && name in made) print text
      } else if (text ~ /^GRANT /) grant(text)
    }
    statement == "" && /^(--|\\|$)/ { next }
    {
      scan($0)
      statement = statement == "" ? $0 : statement "\n" $0
      if (quote == "" && /;$/) {
        take(statement)
        statement = ""
      }
    }
    END {
      print "RESET client_encoding;"
      print "SELECT pg_catalog.set_config(name, reset_val, true) FROM pg_catalog.pg_settings"
      print "  JOIN pg_catalog.pg_roles ON rolname = current_user AND rolsuper"
      print "  WHERE name IN (\047log_statement\047, \047log_min_error_statement\047, \047log_min_duration_statement\047);"
      print "\\set VERBOSITY default"
    }
  '
}
