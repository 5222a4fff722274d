-- Receives from nobody any more. Returns when the receiver has flushed what it had and is gone, and when it is known where
-- the local log ends: after a start the server must first replay what it has.
SELECT pg_is_in_recovery() AS follower, current_setting('primary_conninfo') <> '' AS open \gset
\if :follower
-- The replay process reads a changed configuration when it is run, and receivers are started by the main process when that is: on a
-- busy machine both may be a second late, and one that was asked for before would receive, and confirm, after the seal. Without its
-- password file it cannot log in. Whoever has read the file before is a process that is seen below, and waited for.
\unset disarmed
\set disarmed `rm -f "$QUORATE_RUN_DIR"/receiver.* && echo on`
\if :{?disarmed}
\else
  \warn the password files of receivers cannot be removed
\endif
\if :open
  ALTER SYSTEM SET primary_conninfo = '';
  SELECT pg_reload_conf() \g /dev/null

  -- Two looks in a row, because a receiver that was just asked for is no process yet. The replay process waits for a
  -- receiver (RecoveryWalStream) until it has read the configuration and ended it.
  DO $$
  DECLARE
    deadline timestamptz := clock_timestamp() + interval '40ms';
    clear int := 0;
  BEGIN
    LOOP
      PERFORM pg_sleep(0.002), pg_stat_clear_snapshot();
      SELECT CASE WHEN count(*) = 0 THEN clear + 1 ELSE 0 END INTO clear FROM pg_stat_activity
        WHERE backend_type = 'walreceiver' OR (backend_type = 'startup' AND wait_event = 'RecoveryWalStream');
      EXIT WHEN clear = 2 OR clock_timestamp() > deadline;
    END LOOP;
  END $$;
\endif

-- A replay that is held up, by a long query or a pause, ends the receiver only when it goes on. End it by hand then: the
-- replay process alone starts receivers, and it reads the configuration before it does.
SELECT coalesce(max(pid), 0) AS receiver, count(*) > 0 AS alive FROM pg_stat_activity WHERE backend_type = 'walreceiver' \gset
\if :alive
  \setenv RECEIVER :receiver
  -- One that was stopped hears of it when it goes on. One that ends by itself meanwhile is no failure: below it is waited for.
  \! kill -TERM "$RECEIVER" 2>/dev/null && kill -CONT "$RECEIVER" 2>/dev/null
\endif
DO $$
BEGIN
  WHILE EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'walreceiver') LOOP
    PERFORM pg_sleep(0.002), pg_stat_clear_snapshot();
  END LOOP;
  -- Whether all of it is replayed belongs to the answer (sendable); what is on its way takes no longer.
  FOR look IN 1..10 LOOP
    EXIT WHEN pg_last_wal_replay_lsn() >= coalesce(pg_last_wal_receive_lsn(), '0/0');
    PERFORM pg_sleep(0.001);
  END LOOP;
  WHILE pg_last_wal_receive_lsn() IS NULL AND current_setting('quorate.settled', true) IS DISTINCT FROM 'on' LOOP
    PERFORM set_config('quorate.settled', 'on', false) FROM pg_stat_activity
      WHERE backend_type = 'startup' AND wait_event = 'RecoveryRetrieveRetryInterval';
    PERFORM pg_sleep(0.002), pg_stat_clear_snapshot();
  END LOOP;
END $$;
\else
  \warn the server is not a follower
\endif
