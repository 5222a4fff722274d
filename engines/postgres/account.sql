-- One account with its database. The password comes out of its file, and into no log.
\getenv name QUORATE_ACCOUNT
\getenv database QUORATE_DATABASE
\set password `cat "$QUORATE_PASSWORD_FILE"`
SET client_min_messages = warning;
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';

SELECT 'CREATE ROLE quorate_accounts NOLOGIN'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'quorate_accounts')
\gexec
SELECT format('CREATE ROLE %I', :'name')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'name')
\gexec
SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', :'name', :'password')
\gexec
-- Whoever is in this group was made here, and can be locked here.
SELECT format('GRANT quorate_accounts TO %I', :'name')
WHERE NOT pg_has_role(:'name', 'quorate_accounts', 'MEMBER')
\gexec
SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'name')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database')
\gexec
