-- The probe's own session: its commits are real, and wait as everyone's do. A probe that was given up leaves a server
-- process behind that waits on; end it, or they would use up the connections.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE application_name = 'quorate-probe' AND pid <> pg_backend_pid() \g /dev/null
SET synchronous_commit = on;
