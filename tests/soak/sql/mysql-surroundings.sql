-- What a dump needs around it and does not carry: the accounts that its views and routines are defined by.
CREATE USER IF NOT EXISTS 'maker'@'10.1.%' IDENTIFIED BY 'x';
GRANT ALL ON app.* TO 'maker'@'10.1.%';
CREATE USER IF NOT EXISTS 'reader'@'%' IDENTIFIED BY 'x';
GRANT SELECT, EXECUTE, SHOW VIEW ON app.* TO 'reader'@'%';
