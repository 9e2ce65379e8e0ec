# The values of a load of one table, which come behind those of the session: the table in the dump, the name that it gets, and
# whether it may replace a table of that name. MySQL's tables have no schema.

read_value <&3 && FROM_SCHEMA=$VALUE
read_value <&3 && FROM_TABLE=$VALUE
read_value <&3 && TO_SCHEMA=$VALUE
read_value <&3 && TO_TABLE=$VALUE
read_value <&3 && REPLACE=$VALUE

# Nothing that was there is touched before the table has all of its rows, so the file is hashed while it is read.
# shellcheck disable=SC2034 # load.sh reads both
sum_late=yes lead=print_long_line

# print_long_line: prints a comment, for which mawk, gawk and that of busybox make room. From then on they read that much at once
# instead of 4 KiB, so that they and what unpacks the dump wait for each other a tenth as often. The filters drop comments.
print_long_line() { printf '%s%0130000d\n' '-- ' 0; }

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
