# PostgreSQL's part of inspect.sh: the roles that a dump names, and those that the file beside it makes.

# db_report_needs: reports the roles that the text of the open dump names, in double quotes.
db_report_needs() {
  (unpack </proc/self/fd/4) 2>/dev/null | db_dump_facts | while IFS=$tab read -r kind name; do
    if [ "$kind" = role ]; then say needs "$name"; fi
  done
}
tab=$(printf '\t')

# db_report_globals: reports the roles that the file on stdin makes, likewise.
db_report_globals() {
  db_list_roles | while IFS= read -r name; do
    case $name in
    '"'*) say globals-role "$name" ;;
    ?*) say globals-role "\"$name\"" ;;
    esac
  done
}
