-- What a dump needs around it and does not carry: the roles it names and the settings of its database.
SELECT 'CREATE ROLE ' || name || ' NOLOGIN' FROM (VALUES ('keeper'), ('"Odd Role"')) wanted (name)
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = trim(name, '"')) \gexec
ALTER DATABASE app SET timezone = 'Pacific/Chatham';
ALTER DATABASE app SET datestyle = 'SQL, DMY';
ALTER DATABASE app SET app.tenant = 'shop';
ALTER ROLE keeper SET work_mem = '8MB';
