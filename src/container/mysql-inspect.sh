# MySQL's and MariaDB's part of inspect.sh: the accounts that a dump names, and those that the file beside it makes.

# db_report_needs: reports the accounts that the text of the open dump names as definers, and its size.
db_report_needs() {
  (unpack </proc/self/fd/4) 2>/dev/null | awk "$AWK_ACCOUNTS"'
    { bytes += length($0) + 1 }
    /DEFINER=`/ { print_definer($0) }
    END { printf "plain\t%.0f\n", bytes }
  ' | while IFS=$tab read -r kind value; do
    case $kind in
    account) say needs "$value" ;;
    plain) say plain "$value" ;;
    esac
  done
}

# db_report_globals: reports the accounts that the file on stdin makes.
db_report_globals() {
  awk "$AWK_ACCOUNTS$AWK_STATEMENTS"'
    function take(text) { if (makes_account(text) && account !~ /[\001-\037\177]/) print account }
    { read_statement($0) }
  ' | while IFS= read -r account; do say globals-role "$account"; done
}
