# MySQL's and MariaDB's part of inspect.sh: accounts are not looked for.

db_report_needs() { :; }
db_report_globals() { :; }
