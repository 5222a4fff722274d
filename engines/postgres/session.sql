-- Every client of ours starts with this: what it asks must answer at once, whatever the cluster waits for.
SET synchronous_commit = local;
SET client_min_messages = error;
SET jit = off;
SET lock_timeout = '5s';
SET client_connection_check_interval = '1s';

-- One line of JSON, an EngineObservation; prepared, because planning it takes longer than running it.
PREPARE observe AS
WITH node AS MATERIALIZED (
  SELECT pg_is_in_recovery() AS follower
),
-- A follower's log ends at what it has flushed or, before the first receiver, at what it has replayed; but the latter only
-- when it has replayed all that was in its folder, which the replay process shows by waiting for more.
log AS MATERIALIZED (
  SELECT follower,
    CASE
      WHEN NOT follower THEN pg_current_wal_flush_lsn()
      WHEN pg_last_wal_receive_lsn() IS NOT NULL THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
      WHEN current_setting('quorate.settled', true) = 'on' THEN pg_last_wal_replay_lsn()
      WHEN (SELECT set_config('quorate.settled', 'on', false) = 'on' FROM pg_stat_activity
          WHERE backend_type = 'startup' AND wait_event IN ('RecoveryRetrieveRetryInterval', 'RecoveryWalStream'))
        THEN pg_last_wal_replay_lsn()
      -- not a position: the error is the answer
      ELSE format('still replaying the local log, at %s', pg_last_wal_replay_lsn())::pg_lsn
    END AS ends_at,
    pg_size_bytes(current_setting('wal_segment_size')) AS segment_bytes
  FROM node
),
segment AS (
  SELECT ceil((ends_at - '0/0') / segment_bytes)::bigint - 1 AS number, 4294967296 / segment_bytes AS per_file FROM log
),
-- The timeline is the receiver's; without one, that of the newest log file that holds the end.
timeline AS MATERIALIZED (
  SELECT
    CASE WHEN NOT follower THEN ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int
    ELSE coalesce(
      (SELECT received_tli FROM pg_stat_wal_receiver),
      (SELECT max(('x' || left(f, 8))::bit(32)::int) FROM pg_ls_dir('pg_wal') AS f, segment
        WHERE length(f) = 24 AND right(f, 16) = lpad(upper(to_hex(number / per_file)), 8, '0')
            || lpad(upper(to_hex(number % per_file)), 8, '0')
          AND (left(f, 8) = '00000001' OR (pg_stat_file('pg_wal/' || left(f, 8) || '.history', true)).size IS NOT NULL)),
      (SELECT timeline_id FROM pg_control_checkpoint()))
    END AS number
  FROM log
),
ancestors AS (
  SELECT n, split_part(line, E'\t', 1) AS history, split_part(line, E'\t', 2)::pg_lsn - '0/0' AS value
  FROM timeline, string_to_table(
    pg_read_file('pg_wal/' || lpad(upper(to_hex(number)), 8, '0') || '.history', 0, 1048576, true), E'\n')
    WITH ORDINALITY AS lines (line, n)
  WHERE line ~ E'^[0-9]+\t'
  ORDER BY n DESC LIMIT 256
),
-- One that was stopped, or whose network stands still, goes on calling itself streaming. How long its leader has been silent tells:
-- after half of its wal_receiver_timeout the receiver asks, and after all of it gives up. Before a new one has heard anything its two
-- times are the same, and the rest is what its predecessor heard.
receiver AS MATERIALIZED (
  SELECT CASE WHEN last_msg_send_time <> last_msg_receipt_time THEN latest_end_lsn END AS leader_end,
    extract(epoch FROM clock_timestamp() - last_msg_receipt_time) AS silent_seconds
  FROM pg_stat_wal_receiver WHERE status = 'streaming'
),
-- A member that has just come back may have two senders for a while.
followers AS (
  SELECT DISTINCT ON (application_name) application_name, flush_lsn, state, replay_lag
  FROM pg_stat_replication
  WHERE state IN ('catchup', 'streaming')
  ORDER BY application_name, flush_lsn DESC NULLS LAST, backend_start DESC
),
sync AS (
  SELECT coalesce(substring(current_setting('synchronous_standby_names') FROM '^(?:ANY|FIRST) ([0-9]+) ')::int, 0) AS ack,
    ARRAY(SELECT m[1] FROM regexp_matches(current_setting('synchronous_standby_names'), '"([^"]+)"', 'g') AS m
      WHERE m[1] <> 'quorate_none') AS names
)
SELECT json_strip_nulls(json_build_object(
  'writable', NOT follower,
  'position', json_build_object(
    'history', timeline.number::text,
    'value', (ends_at - '0/0')::text,
    'ancestors', (SELECT coalesce(json_agg(json_build_object('history', history, 'value', value::text) ORDER BY n), '[]')
      FROM ancestors),
    -- Not with the beginning of a record at the end: a promotion would write over it, but to a follower it would have been sent.
    'sendable', CASE WHEN follower AND pg_last_wal_replay_lsn() >= ends_at
      AND NOT EXISTS (SELECT FROM pg_stat_wal_receiver) THEN true END),
  'receiving', EXISTS (SELECT FROM receiver WHERE silent_seconds < 10),
  'followers', (SELECT coalesce(json_agg(json_build_object('name', application_name,
      'value', (coalesce(flush_lsn, '0/0') - '0/0')::text, 'streaming', state = 'streaming',
      'lagSeconds', greatest(extract(epoch FROM replay_lag), 0))), '[]') FROM followers),
  'syncSet', (SELECT json_build_object('names', names, 'ack', ack) FROM sync),
  'version', split_part(current_setting('server_version'), ' ', 1),
  -- Who has replayed all that came is as far as the leader was when it last spoke. A message brings at most 128 kB and says where the
  -- leader's log ended: what lies further ahead has yet to be sent.
  'replayLagSeconds', CASE
    WHEN NOT follower THEN NULL
    WHEN pg_last_wal_replay_lsn() >= ends_at AND EXISTS (SELECT FROM receiver WHERE leader_end - ends_at <= 131072)
      THEN (SELECT CASE WHEN silent_seconds > 3 THEN silent_seconds ELSE 0 END FROM receiver)
    -- not known before the first commit is replayed
    WHEN pg_last_xact_replay_timestamp() IS NOT NULL
      THEN greatest(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 0) END
))::text AS observation
FROM log, timeline;
