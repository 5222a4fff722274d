# The server's configuration files; sourced after lib.sh.

# What quorate sets itself; the same list as parameters.fixed, by which a ClusterSpec is refused earlier and more kindly.
readonly FIXED=" @FIXED@ "

# write_parameters FILE: the lines `name<TAB>value` of QUORATE_PARAMETERS_FILE as settings. A value can be wrong, but it
# cannot become a second setting or an include.
write_parameters() {
  local name value
  : >"$1.new"
  if [[ -s ${QUORATE_PARAMETERS_FILE:-} ]]; then
    while IFS=$'\t' read -r name value || [[ -n $name ]]; do
      [[ -n $name ]] || continue
      [[ $name =~ ^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?$ ]] || die "parameter $name: not a parameter's name"
      [[ $name != include* ]] || die "parameter $name: files cannot be included"
      [[ $FIXED != *" $name "* && $name != quorate.* ]] || die "parameter $name is set by quorate"
      [[ $value != *[[:cntrl:]]* ]] || die "parameter $name: its value has a control character"
      value=${value//\\/\\\\}
      printf "%s = '%s'\n" "$name" "${value//\'/\'\'}" >>"$1.new"
    done <"$QUORATE_PARAMETERS_FILE"
  fi
  mv "$1.new" "$1"
}

# at_least NAME FLOOR DEFAULT: the parameter asked for, or its default, but not below what the log was written with: a
# follower that has less refuses to replay it.
at_least() {
  local asked=$3 line pattern="^$1 = '([0-9]+)'\$"
  while IFS= read -r line; do
    [[ ! $line =~ $pattern ]] || asked=${BASH_REMATCH[1]}
  done <"$DATA/postgresql.parameters.conf"
  printf '%s = %d\n' "$1" $((10#$asked > $2 ? 10#$asked : $2))
}

# larger A B
larger() { printf '%d' $(($1 > $2 ? $1 : $2)); }

# conf_string TEXT: a quoted value of a configuration file.
conf_string() {
  local text=${1//\\/\\\\}
  printf "'%s'" "${text//\'/\'\'}"
}

# write_certificate: the certificate that is shown to clients, as files of the server's own user, which is what it insists on.
# Whoever calls this again while the server runs must make it read them. Nothing without one.
write_certificate() {
  local from=${QUORATE_PEER_DIR:-} to=$QUORATE_RUN_DIR
  [[ -e $from/tls.key ]] || return 0
  cp "$from/tls.key" "$to/tls.key.new"
  cp "$from/tls.crt" "$to/tls.crt.new"
  mv "$to/tls.key.new" "$to/tls.key"
  mv "$to/tls.crt.new" "$to/tls.crt"
}

# Before the user's parameters, so that these can show another one, or none.
certificate_settings() {
  [[ -e $QUORATE_RUN_DIR/tls.key ]] || return 0
  printf '%s = %s\n' ssl on ssl_cert_file "$(conf_string "$QUORATE_RUN_DIR/tls.crt")" \
    ssl_key_file "$(conf_string "$QUORATE_RUN_DIR/tls.key")"
}

# Later lines win: computed defaults, then the user's parameters, then what is quorate's. Reads CONTROL.
write_server_configuration() {
  local memory_mb=$((${QUORATE_MEMORY_BYTES:-536870912} / 1048576)) upstream=''
  cat >"$DATA/postgresql.quorate.conf" <<CONF
# Written by quorate before every start: changes are lost.
shared_buffers = '$(larger $((memory_mb / 4)) 16)MB'
effective_cache_size = '$(larger $((memory_mb / 2)) 32)MB'
maintenance_work_mem = '$(larger $((memory_mb / 16)) 8)MB'
$(certificate_settings)

include 'postgresql.parameters.conf'

$(at_least max_connections "$(control 'max_connections setting')" 100)
$(at_least max_worker_processes "$(control 'max_worker_processes setting')" 8)
$(at_least max_prepared_transactions "$(control 'max_prepared_xacts setting')" 0)
$(at_least max_locks_per_transaction "$(control 'max_locks_per_xact setting')" 64)
$(at_least max_wal_senders "$(control 'max_wal_senders setting')" 20)

listen_addresses = '*'
port = $QUORATE_PORT
unix_socket_directories = $(conf_string "$QUORATE_RUN_DIR")
unix_socket_permissions = 0700
cluster_name = '$QUORATE_MEMBER'

fsync = on
full_page_writes = on
wal_level = replica
wal_log_hints = on
hot_standby = on
max_replication_slots = 10
max_slot_wal_keep_size = '1GB'
synchronous_commit = on
restart_after_crash = off
archive_mode = off
restore_command = ''
recovery_target_timeline = 'latest'
primary_slot_name = ''
password_encryption = 'scram-sha-256'

# A silent peer is given up within seconds. Acknowledgements are sent at every flush, whatever the status interval is.
wal_sender_timeout = '5s'
wal_receiver_timeout = '5s'
wal_receiver_status_interval = '1s'
wal_retrieve_retry_interval = '100ms'

log_destination = 'stderr'
logging_collector = off
log_line_prefix = '%m [%p] %q%u@%d/%a '

quorate.peer_options = $(conf_string "$(peer_options)")
CONF
  printf "# Written by quorate before every start: see postgresql.quorate.conf.\ninclude 'postgresql.quorate.conf'\n" \
    >"$DATA/postgresql.conf"

  # What changes while the server runs is set by ALTER SYSTEM, into this file. Until quorate says who confirms commits
  # they wait for a member that does not exist; see set-sync-set.sql for why it is not empty.
  [[ -z ${QUORATE_LEADER_HOST:-} ]] || upstream=$(leader_conninfo)
  cat >"$DATA/postgresql.auto.conf" <<CONF
# Written by quorate before every start: what ALTER SYSTEM adds is lost then.
primary_conninfo = $(conf_string "$upstream")
synchronous_standby_names = 'ANY 1 ("quorate_none")'
CONF
}

# The socket can be opened by the server's own user only (unix_socket_permissions), hence trust.
write_access_rules() {
  cat >"$DATA/pg_hba.conf" <<'HBA'
local all         postgres               trust
host  replication quorate  all           scram-sha-256
host  postgres    quorate  all           scram-sha-256
host  all         quorate  all           reject
host  all         all      all           scram-sha-256
HBA
  : >"$DATA/pg_ident.conf"
}
