-- The password of one account. It comes out of its file, and into no log.
\getenv name QUORATE_ACCOUNT
\set password `cat "$QUORATE_PASSWORD_FILE"`
SET client_min_messages = warning;
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';
SELECT format('ALTER ROLE %I PASSWORD %L', :'name', :'password')
\gexec
