# What a dump of PostgreSQL holds and needs, read from its text.

# db_dump_facts: prints what the dump on stdin holds: encoding, the tablespaces and roles that it needs, and the rows of each
# table. An extra role does no harm. COPY counts only after the comment that begins a table's data, not in a function's text.
db_dump_facts() {
  awk '
    function ident(text) {
      if (match(text, /^"([^"]|"")*"/) || match(text, /^[^ ",;.()]+/)) return substr(text, 1, RLENGTH)
      return ""
    }
    function role(name) {
      if (name == "" || name == "PUBLIC" || name == "CURRENT_USER" || name == "SESSION_USER") return
      if (name !~ /^"/) name = "\"" name "\""
      if (name ~ /^"pg_/ || name in known) return
      known[name]
      print "role\t" name
    }
    function roles(text, name) {
      while (match(text, / (TO|FROM|FOR ROLE|MAPPING FOR) /)) {
        text = substr(text, RSTART + RLENGTH - 1)
        do {
          text = substr(text, 2)
          name = ident(text)
          role(name)
          text = substr(text, length(name) + 1)
        } while (name != "" && sub(/^,/, "", text))
        text = " " text
      }
    }
    copying {
      if ($0 == "\\.") copying = 0
      else rows[table]++
      next
    }
    /^-- Data for Name: .*; Type: TABLE DATA; / { data = 1 }
    # A name may hold the end of a line.
    data && (copy != "" || /^COPY /) {
      copy = copy == "" ? $0 : copy "\036" $0
      if (copy !~ / FROM stdin;$/) next
      rest = substr(copy, 6)
      table = ident(rest)
      rest = substr(rest, length(table) + 1)
      if (rest ~ /^\./) table = table "." ident(substr(rest, 2))
      rows[table] += data = 0
      copy = ""
      copying = 1
      next
    }
    /^SET client_encoding = / && !encoding {
      encoding = $0
      gsub(/^[^\047]*\047|\047.*$/, "", encoding)
      print "encoding\t" encoding
    }
    /^SET default_tablespace = [^\047]/ && !($0 in known) {
      known[$0]
      print "place\t" substr($0, 26, length($0) - 26)
    }
    /^(GRANT|REVOKE|ALTER|CREATE POLICY|CREATE USER MAPPING) / { roles($0) }
    /^-- Name: .*; Type: / { entries++ }
    END {
      printf "entries\t%.0f\n", entries
      for (table in rows) printf "table\t%.0f\t%s\n", rows[table], table
      print "end"
    }'
}
