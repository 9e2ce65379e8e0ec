# What both loads of MySQL and MariaDB share. $scratch_is says what is made under a scratch name, a `schema` or a `table`; $scratch
# is that name, while it is there; and the file $tried has it, so that the next session drops what a killed one left.

drop_leftovers() {
  [ -e "$tried" ] || return 0
  while IFS= read -r left; do
    case $left in *[!a-z0-9_]*) ;; backup_ns_?*) (ask "DROP $scratch_is IF EXISTS \`$left\`") || lost other "the $scratch_is $left of an earlier restore cannot be dropped" ;; esac
  done <"$tried"
  rm -f "$tried"
}

# undo: drops what was made under the scratch name.
undo() {
  if [ -n "${scratch-}" ] && (ask "DROP $scratch_is IF EXISTS \`$scratch\`"); then
    scratch=
    rm -f "$tried"
  fi
}

db_client() {
  with_options "$CLIENT" ${without_binlog:+"--init-command=SET SESSION sql_log_bin = 0"} --default-character-set="$CHARSET" \
    --binary-mode --batch --skip-column-names --max-allowed-packet=1G -- "$INTO"
}

db_prologue() { :; }
db_epilogue() { printf '%s\n' "SELECT '$NONCE';"; }
