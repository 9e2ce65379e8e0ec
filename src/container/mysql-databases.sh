# MySQL's and MariaDB's part of databases.sh.

# db_list_databases: reports each database as `database NAME`, or as `unfit NAME` if its name holds control characters, and `limited`
# if the user may see only those that it has rights on. Not every global privilege shows all of them. Left out are the server's own, and directories that no CREATE DATABASE has
# made, such as lost+found, which MariaDB shows with the prefix #mysql50#.
db_list_databases() {
  named="replace(replace(replace(schema_name, char(10), ' '), char(13), ' '), char(9), ' ')"
  with_options "$CLIENT" --default-character-set=utf8mb4 --batch --raw --skip-column-names --execute="
    SELECT concat('$NONCE ', CASE WHEN $named = schema_name THEN 'database ' ELSE 'unfit ' END, $named)
      FROM information_schema.schemata
      WHERE schema_name NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys') AND schema_name NOT LIKE '#mysql50#%'
      ORDER BY schema_name;
    SELECT '$NONCE limited yes' FROM (SELECT count(*) AS number FROM information_schema.user_privileges,
        (SELECT current_user() AS account, substring_index(current_user(), '@', -1) AS host) AS me
      WHERE privilege_type IN ('SHOW DATABASES', 'SELECT') AND grantee = concat(
        char(39), left(account, char_length(account) - char_length(host) - 1), char(39), '@', char(39), host, char(39)))
      AS of_all WHERE number = 0"
}
