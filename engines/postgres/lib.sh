# What the scripts of this engine share; sourced, never run. Every QUORATE_* variable is context that quorate gives.
set -Eeuo pipefail
umask 077
export LC_ALL=C.UTF-8 LC_MESSAGES=C

readonly PGBIN=/usr/lib/postgresql/15/bin
readonly DATA=$QUORATE_DATA_DIR
readonly PASSFILE=$QUORATE_RUN_DIR/pgpass
# Beside the data folder: a clone under way, the data it replaced, and the sign that a rewind has begun to write.
readonly CLONING=$DATA.cloning
readonly REPLACED=$DATA.replaced
readonly REWINDING=$DATA.rewinding
# In the data folder of a cluster that was restored: the timeline on which it began. Others begin on the first.
readonly FIRST_TIMELINE=quorate.first-timeline
# Exit code by which quorate is told that only a new clone helps.
readonly CLONE_INSTEAD=3

say() { printf '%s\n' "$1"; }

# die MESSAGE [CODE]
die() {
  printf '%s\n' "$1" >&2
  exit "${2:-1}"
}

# Takes the lock that whoever touches the data folder holds until its last child has ended: children inherit the
# descriptor. Unlike a pid in a file it needs no pid namespace, and it holds between two containers on one node.
lock_data() {
  mkdir -p "${DATA%/*}"
  exec 9>>"$DATA.lock"
  flock -w "${1:-5}" 9 || die "another process still uses $DATA"
}

# A clone that was cut short between its two renames left the former data aside, and nothing else: puts it back.
put_back_replaced() {
  [[ -e $DATA || ! -e $REPLACED ]] || mv -T "$REPLACED" "$DATA"
}

# secret NAME: a password without its final newline.
secret() {
  local value
  value=$(<"$QUORATE_CREDENTIALS_DIR/$1") || die "no password for account $1 in $QUORATE_CREDENTIALS_DIR"
  [[ -n $value && $value != *$'\n'* ]] || die "the password of account $1 is empty or has more than one line"
  printf '%s' "$value"
}

# password_line ACCOUNT: as a password file has it, for any server; write_password ACCOUNT FILE.
password_line() {
  local password
  password=$(secret "$1")
  password=${password//\\/\\\\}
  printf '*:*:*:%s:%s\n' "$1" "${password//:/\\:}"
}
write_password() {
  password_line "$1" >"$2.new"
  mv "$2.new" "$2"
}

# Writes the password file with which this member's programs reach the leader as account quorate. While a changed password is on its
# way the leader takes the former one; "passwords" puts the other in its place then.
write_passfile() {
  if [[ -e $PASSFILE && $(<"$PASSFILE") != "$(password_line quorate)" ]] &&
    { [[ -z ${QUORATE_LEADER_HOST:-} ]] || leader_sql 'SELECT 1' &>/dev/null; }; then return; fi
  write_password quorate "$PASSFILE"
}

# Connection options of everything this member opens to the leader; a dead leader is noticed within seconds.
peer_options() {
  printf '%s' "user=quorate passfile=$PASSFILE application_name=$QUORATE_MEMBER connect_timeout=3" \
    " keepalives_idle=5 keepalives_interval=2 keepalives_count=3 tcp_user_timeout=5000 gssencmode=disable"
}

# leader_conninfo [DATABASE]
leader_conninfo() {
  printf 'host=%s port=%s %s%s' "$QUORATE_LEADER_HOST" "$QUORATE_LEADER_PORT" "$(peer_options)" "${1:+ dbname=$1}"
}

# leader_sql SQL: asks the leader, as account quorate. One that is cut off would hold up whoever asks for LEADER_TIMEOUT.
LEADER_TIMEOUT=60
leader_sql() {
  timeout "$LEADER_TIMEOUT" "$PGBIN/psql" -X -q -A -t -w -v ON_ERROR_STOP=1 -d "$(leader_conninfo postgres)" -c "$1"
}

# ask_leader: its LEADER_SYSTEM, LEADER_TIMELINE with its LEADER_HISTORY file (empty for the first timeline) and, of its last
# checkpoint, the timeline LEADER_CHECKPOINTED. Fails when it is not promoted yet.
ask_leader() {
  local answer
  answer=$(leader_sql "SELECT format(E'%s|%s|%s\n%s', system_identifier, n, timeline_id, convert_from(pg_read_binary_file(
      'pg_wal/' || lpad(upper(to_hex(n)), 8, '0') || '.history', 0, 1048576, true), 'UTF8'))
    FROM pg_control_system(), pg_control_checkpoint(),
      LATERAL (SELECT ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int AS n) AS timeline") ||
    die "$QUORATE_LEADER_HOST does not answer as a leader"
  IFS='|' read -r LEADER_SYSTEM LEADER_TIMELINE LEADER_CHECKPOINTED <<<"$answer"
  LEADER_HISTORY=$(tail -n +2 <<<"$answer")
}

# local_psql FOLDER ARGUMENT…: the own server, through its socket in FOLDER; local_sql FOLDER SQL.
local_psql() {
  "$PGBIN/psql" -X -q -A -t -w -v ON_ERROR_STOP=1 -h "$1" -p "$QUORATE_PORT" -U postgres -d postgres "${@:2}"
}
local_sql() { local_psql "$1" -c "$2"; }

# control_data: reads pg_control into CONTROL; control NAME: one line of it. It starts no program: every start of the server waits for it.
control_data() { CONTROL=$'\n'$("$PGBIN/pg_controldata" -D "$DATA"); }
control() {
  local value
  [[ $CONTROL == *$'\n'"$1:"* ]] || return 0
  value=${CONTROL#*$'\n'"$1:"}
  value=${value%%$'\n'*}
  printf '%s' "${value#"${value%%[! ]*}"}"
}

# The newest timeline that pg_control knows of: of the last checkpoint, or of the log that a follower must have replayed.
control_timeline() {
  local checkpoint recovery
  checkpoint=$(control "Latest checkpoint's TimeLineID")
  recovery=$(control "Min recovery ending loc's timeline")
  printf '%d' $((checkpoint > recovery ? checkpoint : recovery))
}

# A follower that is killed while it begins to receive a new timeline has that timeline's first piece without all of what the piece
# shares with the timeline before. The server reads the newer of two pieces and no other: it would wait for a leader before it answers,
# and quorate for an answer before it names a leader. What ends before its timeline begins holds nothing that the older piece lacks.
drop_begun_timeline() {
  local wal=$DATA/pg_wal history fork segment_bytes page_bytes page piece suffix found=
  history=$(cd "$wal" && printf '%s\n' *.history | tail -n1)
  [[ -e $wal/$history ]] || return 0
  control_data
  segment_bytes=$(control 'Bytes per WAL segment')
  page_bytes=$(control 'WAL block size')
  fork=$(awk -F '\t' 'NF > 1 { at = $2 } END { print at }' "$wal/$history")
  [[ -n $fork ]] || return 0
  fork=$(lsn_number "$fork")
  segment_suffix "$fork" "$segment_bytes"
  piece=$wal/${history%.history}$suffix
  [[ -e $piece ]] || return 0
  # Every page says where in the log it belongs, after 8 bytes of its head; one of a recycled piece says another place.
  page=$((fork - fork % page_bytes))
  found=$(od -An -tu8 -j $((page % segment_bytes + 8)) -N 8 "$piece")
  ((found == page)) || rm "$piece"
}

# segment_suffix NUMBER SEGMENT_BYTES: sets suffix, of the names of the pieces that the position lies in, on whatever timeline.
segment_suffix() {
  local segment=$(($1 / $2)) each=$((4294967296 / $2))
  printf -v suffix '%08X%08X' $((segment / each)) $((segment % each))
}

# lsn_number 1/2A: the position as a decimal number; lsn_text NUMBER: the reverse.
lsn_number() { printf '%d' $(((16#${1%/*} << 32) + 16#${1#*/})); }
lsn_text() { printf '%X/%X' $(($1 >> 32)) $(($1 & 0xFFFFFFFF)); }
