# The values of a load of one table, which come behind those of the session: the table in the dump, the name that it gets, and
# whether it may replace a table of that name. MySQL's tables have no schema.

read_value <&3 && FROM_SCHEMA=$VALUE
read_value <&3 && FROM_TABLE=$VALUE
read_value <&3 && TO_SCHEMA=$VALUE
read_value <&3 && TO_TABLE=$VALUE
read_value <&3 && REPLACE=$VALUE

# Nothing that was there is touched before the table has all of its rows, so the file is hashed while it is read.
# shellcheck disable=SC2034 # load.sh reads it
sum_late=yes

# double MARK TEXT: prints TEXT with each MARK doubled.
double() {
  left=$2 doubled=
  while :; do
    case $left in *"$1"*) ;; *) break ;; esac
    doubled=$doubled${left%%"$1"*}$1$1
    left=${left#*"$1"}
  done
  printf %s "$doubled$left"
}

# choose_quick_unpacker: unpacks gzip with a zstd that can do so, which takes half the time. Most of a dump is only unpacked here.
choose_quick_unpacker() {
  [ "$unpacker" != gzip ] || case $(zstd -vV 2>/dev/null) in *gzip*) unpacker=zstd ;; esac
}
