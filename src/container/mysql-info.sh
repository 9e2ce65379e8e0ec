# MySQL's and MariaDB's part of info.sh.

# db_info: reports `version`, `size` and `tables`, and prints bytes, rows and name of the ten biggest tables.
db_info() {
  say version "$(ask 'SELECT version()')"
  size='coalesce(data_length, 0) + coalesce(index_length, 0)'
  tables="FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type NOT IN ('VIEW', 'SYSTEM VIEW')"
  say size "$(ask "SELECT coalesce(sum($size), 0) $tables")"
  say tables "$(ask "SELECT count(*) $tables")"
  ask "SELECT concat($size, ' ', coalesce(table_rows, 0), ' ', table_name) $tables ORDER BY $size DESC, table_name LIMIT 10"
}
