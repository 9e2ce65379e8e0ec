# The database's own client for a person. What it connects with comes as words: lines as `read_value` reads them, and where the
# password is held, see hold-password.sh.

trap - PIPE
unset LC_ALL
if [ -n "$2" ]; then
  [ -f "$2" ] || { echo 'the password that was left for this shell is gone already' >&2; exit 71; }
  export BACKUP_NS_PASSWORD_FILE="$2"
fi
db_read_connection <<VALUES
$1
VALUES
if [ -n "$2" ]; then
  rm -f -- "$2"
  unset BACKUP_NS_PASSWORD_FILE
fi
db_shell
