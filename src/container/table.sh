# The values of a load of one table, which come behind those of the session: the table in the dump, the name that it gets, and
# whether it may replace a table of that name. MySQL's tables have no schema.

read_value <&3 && FROM_SCHEMA=$VALUE
read_value <&3 && FROM_TABLE=$VALUE
read_value <&3 && TO_SCHEMA=$VALUE
read_value <&3 && TO_TABLE=$VALUE
read_value <&3 && REPLACE=$VALUE
