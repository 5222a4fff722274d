-- Waits until every sender shows the priority that the setting gives its follower: its place after "quorate_none" while
-- quorate.sync_numbered, else 1; 0 for a follower that does not count. Senders of a follower's followers always say 0.
DO $$
DECLARE
  names text[] := string_to_array(current_setting('quorate.sync_names'), ',');
  numbered boolean := current_setting('quorate.sync_numbered') = 'on';
  deadline timestamptz := clock_timestamp() + interval '3s';
  late text;
BEGIN
  LOOP
    EXIT WHEN pg_is_in_recovery();
    SELECT string_agg(application_name, ', ') INTO late FROM pg_stat_replication
      WHERE state IN ('catchup', 'streaming') AND sync_priority IS DISTINCT FROM
        CASE WHEN numbered THEN coalesce(array_position(names, application_name) + 1, 0)
        ELSE coalesce(application_name = ANY (names), false)::int END;
    EXIT WHEN late IS NULL;
    IF clock_timestamp() > deadline THEN
      RAISE EXCEPTION 'the senders to % have not read the new synchronous set', late;
    END IF;
    PERFORM pg_sleep(0.002), pg_stat_clear_snapshot();
  END LOOP;
END $$;
