-- Transactions in databases of users' own. One that was rolled back was answered, too; the server's failures are those that it gave up
-- to let others go on, and sessions that it cut.
SELECT json_build_object(
  'served', coalesce(sum(xact_commit + xact_rollback), 0),
  'failed', coalesce(sum(deadlocks + conflicts + sessions_fatal + sessions_killed), 0))
FROM pg_stat_database WHERE datname NOT IN ('postgres', 'template0', 'template1');
