-- Makes the follower writable, on timeline quorate.epoch + 1; in a cluster that was restored, whose first timeline is another one, on so
-- many after that. Left alone the server takes the first number that it has no history file of, so two members, promoted one after the
-- other from the same timeline, would give one number to two histories, and nothing could tell them apart afterwards. Files without
-- content in the place of the numbers between prevent that: every epoch has its own timeline.
DO $$
DECLARE
  folder text := current_setting('data_directory') || '/pg_wal/';
  former int := coalesce(pg_read_file('quorate.first-timeline', 0, 16, true)::int, 1) + current_setting('quorate.epoch')::int - 1;
  file text;
BEGIN
  IF NOT pg_is_in_recovery() THEN RETURN; END IF;
  FOR skipped IN 2..former LOOP
    file := lpad(upper(to_hex(skipped)), 8, '0') || '.history';
    CONTINUE WHEN (pg_stat_file('pg_wal/' || file, true)).size IS NOT NULL;
    EXECUTE format('COPY (SELECT %L) TO %L', '# skipped', folder || file);
  END LOOP;
  PERFORM pg_promote(false);
  -- pg_promote(true) looks only ten times a second
  WHILE pg_is_in_recovery() LOOP
    PERFORM pg_sleep(0.002);
  END LOOP;
END $$;
