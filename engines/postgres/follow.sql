-- Points the receiver at :host and :port, whose log is on timeline :history and came from :ancestors. It streams a moment
-- later; waiting for that here would keep a seal waiting, too.
--
-- Whether this member's log has a tail that the leader's lacks is asked before connecting, not left to the server, which
-- would connect, send the end of its own log as flushed, and refuse only afterwards: to the leader it would have confirmed
-- commits that it does not have.
EXECUTE observe \gset
\if :ERROR
  \warn the own position is not known
\else
  SELECT set_config('quorate.own_timeline', :'observation'::jsonb #>> '{position,history}', false),
    set_config('quorate.own_end', :'observation'::jsonb #>> '{position,value}', false),
    set_config('quorate.timeline', :'history', false),
    set_config('quorate.ancestors', :'ancestors', false) \g /dev/null

  DO $$
  DECLARE
    own text := current_setting('quorate.own_timeline');
    fork pg_lsn;
    idle int := 0;
  BEGIN
    IF NOT pg_is_in_recovery() THEN RAISE EXCEPTION 'the server is not a follower'; END IF;
    IF own = current_setting('quorate.timeline') THEN RETURN; END IF;
    SELECT '0/0'::pg_lsn + split_part(ancestor, ':', 2)::numeric INTO fork
      FROM string_to_table(current_setting('quorate.ancestors'), ',') AS ancestor WHERE split_part(ancestor, ':', 1) = own;
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

  \if :ERROR
    \warn the receiver is left as it is
  \else
    -- A password file of this receiver's own: a seal takes it away, see there. It is a link, so that it changes with the password.
    \setenv RECEIVER_PASSFILE receiver.:epoch
    \unset passfile
    \set passfile `cd "$QUORATE_RUN_DIR" && rm -f receiver.* && ln -s pgpass "$RECEIVER_PASSFILE" && echo "$PWD/$RECEIVER_PASSFILE"`
    SELECT format('host=%s port=%s %s', :'host', :'port',
      regexp_replace(current_setting('quorate.peer_options'), 'passfile=\S+', 'passfile=' || :'passfile')) AS upstream \gset
    SELECT current_setting('primary_conninfo') <> :'upstream' AS changed \gset
    \if :changed
      ALTER SYSTEM SET primary_conninfo = :'upstream';
      SELECT pg_reload_conf() \g /dev/null
    \endif
  \endif
\endif
