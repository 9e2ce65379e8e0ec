# The database's own client, interactive. Its arguments are the connection's values, one a line as read_value reads them, and
# the file with the password, see hold-password.sh.

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
