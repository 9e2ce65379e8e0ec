# The accounts that a dump names, and those that the file of accounts beside it makes. They are written as the dump tool writes
# them: `name`@`host`, or `name` for a role of MariaDB.

# Functions for awk:
# take_account(TEXT) puts the account at the beginning of TEXT in `account`, and what follows it in `rest`. 1 if there is one.
# print_definer(LINE) prints the account that a line of a dump names as DEFINER, once; none with control characters, because a line
# of a routine may look like that, and what is printed becomes lines of a report and statements.
# shellcheck disable=SC2016 # backquotes
AWK_ACCOUNTS='
  function take_account(text,    user) {
    if (!take_name(text)) return 0
    user = name
    if (rest ~ /^@/ && take_name(substr(rest, 2)) && name != "``") user = user "@" name
    account = user
    return 1
  }
  function take_name(text) {
    if (match(text, /^`([^`]|``)*`/)) {
      name = substr(text, 1, RLENGTH)
      rest = substr(text, RLENGTH + 1)
    } else if (match(text, /^\047([^\047\\]|\047\047|\\.)*\047/)) {
      name = substr(text, 2, RLENGTH - 2)
      rest = substr(text, RLENGTH + 1)
      gsub(/\047\047/, "\047", name)
      name = unescaped(name)
      gsub(/`/, "``", name)
      name = "`" name "`"
    } else return 0
    return 1
  }
  function unescaped(text,    out, at, letter) {
    while (at = index(text, "\\")) {
      letter = substr(text, at + 1, 1)
      out = out substr(text, 1, at - 1) (letter == "n" ? "\n" : letter == "t" ? "\t" : letter)
      text = substr(text, at + 2)
    }
    return out text
  }
  function print_definer(line) {
    if (line !~ /^(\/\*M?![0-9]+ |CREATE )/ || !match(line, /DEFINER=`/)) return
    if (!take_account(substr(line, RSTART + 8)) || account ~ /[\001-\037\177]/ || account in printed) return
    printed[account]
    print "account\t" account
  }
'
# More of them, for a file of accounts:
# outline(TEXT) is TEXT with each letter in quotes replaced.
# read_statement(LINE) calls take(STATEMENT), which its user defines, for each statement.
# makes_account(STATEMENT) puts the account that it makes in `account`. 1 if it makes one.
# shellcheck disable=SC2016 # backquotes
AWK_STATEMENTS='
  function outline(text,    out, filler) {
    while (match(text, /`([^`]|``)*`|\047([^\047\\]|\047\047|\\.)*\047|"([^"\\]|""|\\.)*"/)) {
      filler = sprintf("%" RLENGTH "s", "")
      gsub(/ /, "q", filler)
      out = out substr(text, 1, RSTART - 1) filler
      text = substr(text, RSTART + RLENGTH)
    }
    return out text
  }
  function read_statement(line) {
    if (statement == "" && line ~ /^(--|$)/) return
    statement = statement == "" ? line : statement "\n" line
    if (line !~ /;$/ || outline(statement) ~ /[`\047"]/) return
    take(substr(statement, 1, length(statement) - 1))
    statement = ""
  }
  function makes_account(text) {
    return text ~ /^CREATE (USER|ROLE) IF NOT EXISTS / && take_account(substr(text, 27))
  }
'

# list_accounts: prints the accounts of the server, one a line; none if the user may not read them.
list_accounts() {
  (ask "SET SESSION sql_mode = ''; SELECT concat('\`', replace(user, '\`', '\`\`'), '\`',
    if(host = '', '', concat('@\`', replace(host, '\`', '\`\`'), '\`'))) FROM mysql.user") |
    while IFS= read -r account; do printf '%b\n' "$account"; done
}

# filter_accounts KNOWN MADE LATE LEFT: filters the file on stdin. It keeps what makes an account that is not in KNOWN, and what that
# is granted or denied; MADE gets the accounts that are made. Accounts in KNOWN are not changed: a role that one of them would get
# and that is made goes to LEFT. A grant on columns or on a routine can only be made when that is there, so it goes to LATE, if it is
# on $DATABASE also that of an account in KNOWN. If LATE is empty, it is made for all columns of the table, or all routines of the
# database. A table need not be there if CREATE on it is granted, too; that is revoked at once.
filter_accounts() {
  DATABASE=$DATABASE awk -v known="$1" -v made_names="$2" -v late="$3" -v left="$4" "$AWK_ACCOUNTS$AWK_STATEMENTS"'
    BEGIN {
      while ((getline line <known) > 0) if (take_account(line)) has[account]
      database = ENVIRON["DATABASE"]
      gsub(/`/, "``", database)
      database = "`" database "`"
    }
    function take(text,    shape, word, at, on, privileges, object, is_late) {
      if (makes_account(text)) {
        if (account in has) return
        made[account]
        print account >made_names
        print text ";"
        return
      }
      shape = outline(text)
      word = text ~ /^GRANT / ? " TO " : text ~ /^REVOKE / ? " FROM " : text ~ /^SET DEFAULT ROLE / ? " FOR " : ""
      at = word == "" ? 0 : index(shape, word)
      on = word == " TO " ? index(shape, " ON ") : 0
      if (!at || !take_account(substr(text, at + length(word)))) return
      object = substr(text, on + 4, at - on - 4)
      privileges = substr(shape, 7, on - 7)
      is_late = on && (privileges ~ /\(/ || object ~ /^[A-Z]/)
      if (!(account in made)) {
        if (word == " TO " && !on) leave(substr(text, 7))
        else if (is_late && late != "" && account in has && is_of_database(object)) print text ";" >late
      } else if (!on) print text ";"
      else if (!is_late) grant(text, privileges, object)
      else if (late != "") print text ";" >late
      else {
        gsub(/ *\([^)]*\)/, "", privileges)
        if (sub(/^[A-Z ]+ /, "", object) && take_name(object)) object = name ".*"
        grant("GRANT " privileges " ON " object " TO " account, privileges, object)
      }
    }
    function grant(text, privileges, object) {
      if (object ~ /\.\*$/ || privileges ~ /(^|, )(ALL PRIVILEGES|CREATE|PROXY)(,|$)/) print text ";"
      else {
        print "GRANT CREATE, " substr(text, 7) ";"
        print "REVOKE CREATE ON " object " FROM " account ";"
      }
    }
    function is_of_database(object) {
      sub(/^[A-Z ]+ /, "", object)
      return take_name(object) && name == database
    }
    # The roles in the text, whose grantee is there already.
    function leave(text,    role) {
      rest = "," text
      while (rest ~ /^,/ && take_account(substr(rest, 2))) if (account in made) role = 1
      if (role) print text >left
    }
    { read_statement($0) }
  '
}
