-- Points the receiver at :upstream, whose timeline is :timeline with :history. It streams a moment later; waiting for that
-- here would keep a seal waiting, too.
\ir session.sql
EXECUTE observe \gset
SELECT set_config('quorate.own_timeline', :'observation'::jsonb #>> '{position,history}', false),
  set_config('quorate.own_end', :'observation'::jsonb #>> '{position,value}', false),
  set_config('quorate.timeline', :'timeline', false),
  set_config('quorate.history', :'history', false) \g /dev/null

DO $$
DECLARE
  own text := current_setting('quorate.own_timeline');
  fork pg_lsn;
  idle int := 0;
BEGIN
  IF own = current_setting('quorate.timeline') THEN RETURN; END IF;
  SELECT split_part(line, E'\t', 2)::pg_lsn INTO fork
    FROM string_to_table(current_setting('quorate.history'), E'\n') AS line WHERE split_part(line, E'\t', 1) = own;
  IF fork IS NULL THEN
    RAISE EXCEPTION 'diverged: timeline % is not in the history of the leader''s timeline %', own, current_setting('quorate.timeline');
  END IF;
  -- The received end may lie in the middle of a record; what counts is what can be replayed, once that is all replayed.
  WHILE current_setting('quorate.own_end')::numeric > fork - '0/0' AND idle < 2 LOOP
    IF pg_last_wal_replay_lsn() > fork THEN
      RAISE EXCEPTION 'diverged: timeline % left timeline % at %, this member has replayed %',
        current_setting('quorate.timeline'), own, fork, pg_last_wal_replay_lsn();
    END IF;
    PERFORM pg_sleep(0.11), pg_stat_clear_snapshot();
    SELECT idle + count(*) INTO idle FROM pg_stat_activity
      WHERE backend_type = 'startup' AND wait_event = 'RecoveryRetrieveRetryInterval';
  END LOOP;
END $$;

SELECT current_setting('primary_conninfo') <> :'upstream' AS changed \gset
\if :changed
  ALTER SYSTEM SET primary_conninfo = :'upstream';
  SELECT pg_reload_conf() \g /dev/null
\endif
