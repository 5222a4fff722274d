-- Lets commits wait for :ack of :names (comma-separated) and returns when every sender goes by it.
--
-- A reload reaches each sender by itself, and each releases waiting commits by the setting it has read: until the last has
-- read it, commits can be acknowledged by the old rule. pg_stat_replication shows the priority that a sender gives its
-- follower, which is 1 in every ANY. So the change goes through FIRST, whose priorities number the followers: stricter than
-- the wanted rule, and visible in every sender.
SELECT coalesce(string_agg(format('"%s"', name), ', ' ORDER BY n), '') AS quoted
  FROM string_to_table(nullif(:'names', ''), ',') WITH ORDINALITY AS given (name, n) \gset
SELECT coalesce((SELECT setting FROM pg_file_settings WHERE name = 'synchronous_standby_names' ORDER BY seqno DESC LIMIT 1), '')
  AS former \gset
SELECT CASE WHEN :ack = 0 THEN '' ELSE format('ANY %s (%s)', :ack, coalesce(nullif(:'quoted', ''), '"quorate_none"')) END AS wanted,
  format('FIRST %s ("quorate_none"%s)', greatest(:ack, 1), ', ' || nullif(:'quoted', '')) AS numbered \gset
SELECT :'former' <> :'wanted' AS changed,
  :ack > 0 AND :'former' <> :'wanted' AND NOT pg_is_in_recovery() AS numbering,
  :ack > 0 AND '' IN (:'former', current_setting('synchronous_standby_names')) AS opening,
  set_config('quorate.sync_names', CASE WHEN :ack = 0 THEN '' ELSE :'names' END, false) AS names_set \gset

\if :numbering
  ALTER SYSTEM SET synchronous_standby_names = :'numbered';
  SELECT pg_reload_conf(), set_config('quorate.sync_numbered', 'on', false) \g /dev/null
  \ir verify-sync-set.sql
\endif
-- Without a set, commits do not even ask whether to wait. What tells them is the checkpointer, which cannot be seen to have
-- read the setting, but reads it before it begins a checkpoint.
\if :opening
  CHECKPOINT;
\endif
\if :ERROR
  \warn the former set stays in force, or a stricter one
\else
  \if :changed
    ALTER SYSTEM SET synchronous_standby_names = :'wanted';
  \endif
  SELECT pg_reload_conf(), set_config('quorate.sync_numbered', 'off', false) \g /dev/null
  \ir verify-sync-set.sql
\endif
