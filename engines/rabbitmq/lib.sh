# What the scripts of this engine share; sourced, never run. Every QUORATE_* variable is context that quorate gives.
set -Eeuo pipefail
umask 077
export LC_ALL=C.UTF-8

# People who enter a member have none of it: they get what holds in every pod.
readonly DATA=${QUORATE_DATA_DIR:=/data/engine}
: "${QUORATE_RUN_DIR:=/run}"
readonly SOCKET=$QUORATE_RUN_DIR/admin.sock
readonly CONFIG=$QUORATE_RUN_DIR/rabbitmq.conf
readonly CODE=$QUORATE_RUN_DIR/ebin
# The name of this copy's node, MEMBER_PORT_IDENTITY@HOST; another copy never has the same.
readonly NODE=$DATA/node
# Where Erlang's programs look for it.
readonly COOKIE=$QUORATE_RUN_DIR/.erlang.cookie
readonly LISTEN=${QUORATE_LISTEN_HOST:-0.0.0.0}

say() { printf '%s\n' "$1"; }

# die MESSAGE [CODE]
die() {
  printf '%s\n' "$1" >&2
  exit "${2:-1}"
}

# Takes the lock that whoever touches the data folder holds until its last child has ended.
lock_data() {
  mkdir -p "${DATA%/*}"
  exec 9>>"$DATA.lock"
  flock -w "${1:-5}" 9 || die "another process still uses $DATA"
}

# Where the broker is installed.
broker_home() {
  local server
  for server in /usr/lib/rabbitmq/lib/rabbitmq_server-* /opt/rabbitmq; do
    [[ ! -d $server/plugins ]] || { printf '%s' "$server"; return; }
  done
  die "no RabbitMQ in /usr/lib/rabbitmq/lib or /opt/rabbitmq"
}

# ask STATEMENT: what the running broker answers; its words on standard error when it refuses.
ask() {
  local answer
  answer=$(socat -t 3600 - "UNIX-CONNECT:$SOCKET" <<<"$1" 2>/dev/null) || die "the broker does not answer"
  case $answer in
    +*) say "${answer#+}" ;;
    -*) die "${answer#-}" ;;
    *) die "the broker did not answer" ;;
  esac
}

# is_spread NAME: whether every member must have this password; what a Secret holds has reached every node after so long.
is_spread() { (($(date +%s) - $(stat -L -c %Y "$QUORATE_CREDENTIALS_DIR/$1") >= 120)); }

# Members prove to each other that they have a certificate of the cluster's authority, under whatever name or address: pods change
# theirs. The cookie, which the broker's own command line needs as well, is a password like any other. The others take a changed one
# only when all must have it, see quorate_accounts.
write_trust() {
  local side files
  files="{cacertfile,\"$QUORATE_PEER_DIR/ca.crt\"},{certfile,\"$QUORATE_PEER_DIR/tls.crt\"},{keyfile,\"$QUORATE_PEER_DIR/tls.key\"},{verify,verify_peer}"
  side="[{server,[$files,{fail_if_no_peer_cert,true}]},{client,[$files,{customize_hostname_check,[{match_fun,fun(_,_)->true end}]}]}]."
  say "$side" >"$QUORATE_RUN_DIR/distribution.config"
  [[ -s $QUORATE_CREDENTIALS_DIR/cookie ]] || die "no password for account cookie in $QUORATE_CREDENTIALS_DIR"
  if [[ ! -s $COOKIE ]] || is_spread cookie; then
    rm -f "$COOKIE"
    printf '%s' "$(<"$QUORATE_CREDENTIALS_DIR/cookie")" >"$COOKIE"
    chmod 400 "$COOKIE"
  fi
  export HOME=$QUORATE_RUN_DIR
}

# The modules that run inside the broker, made of the Engine's files as they are today.
compile() {
  local stamp
  stamp=$(cat "$QUORATE_ENGINE_DIR"/*.erl | sha256sum)
  [[ ! -e $CODE/stamp || $(<"$CODE/stamp") != "$stamp" ]] || return 0
  mkdir -p "$CODE"
  erlc -o "$CODE" "$QUORATE_ENGINE_DIR"/*.erl >&2 || die "the engine's modules cannot be compiled"
  say "$stamp" >"$CODE/stamp"
}

# What people must not change; parameters.fixed lists all of it. Nobody reaches a broker that is PRIVATE, and it reaches nobody.
write_config() { # [PRIVATE]
  local name value
  {
    cat <<CONF
cluster_partition_handling = pause_minority
total_memory_available_override_value = $QUORATE_MEMORY_BYTES
log.console = true
log.file = false
loopback_users = none
CONF
    if [[ ${1:-} == PRIVATE ]]; then
      say "listeners.tcp = none"
      export QUORATE_ALONE=true
    else
      say "listeners.tcp.1 = $LISTEN:$QUORATE_PORT"
    fi
    if [[ ${1:-} != PRIVATE && -n $QUORATE_TLS_PORT ]]; then
      cat <<CONF
listeners.ssl.1 = $LISTEN:$QUORATE_TLS_PORT
ssl_options.cacertfile = $QUORATE_PEER_DIR/ca.crt
ssl_options.certfile = $QUORATE_PEER_DIR/tls.crt
ssl_options.keyfile = $QUORATE_PEER_DIR/tls.key
ssl_options.verify = verify_none
ssl_options.fail_if_no_peer_cert = false
CONF
    fi
    if [[ -e $QUORATE_PARAMETERS_FILE ]]; then
      while IFS=$'\t' read -r name value; do say "$name = $value"; done <"$QUORATE_PARAMETERS_FILE"
    fi
  } >"$CONFIG"
  # A queue has a copy on every member, and says once a second how far each is.
  say '[{rabbit,[{quorum_cluster_size,64},{quorum_tick_interval,1000},{cluster_formation,[{peer_discovery_backend,quorate_discovery}]}]}].' \
    >"$QUORATE_RUN_DIR/advanced.config"
}

# Becomes the broker, with this function of quorate_broker in place of its own beginning.
become_broker() { # FUNCTION
  local home node interface=$LISTEN
  [[ -z ${QUORATE_ALONE:-} ]] || interface=127.0.0.1
  home=$(broker_home)
  node=$(<"$NODE")
  export ERL_LIBS=$home/plugins
  write_trust
  compile
  export ERL_CRASH_DUMP_SECONDS=0
  export RABBITMQ_HOME=$home RABBITMQ_NODENAME=$node RABBITMQ_USE_LONGNAME=true RABBITMQ_DIST_PORT=$QUORATE_MEMBER_PORT
  export RABBITMQ_MNESIA_DIR=$DATA/broker RABBITMQ_MNESIA_BASE=$DATA RABBITMQ_PLUGINS_DIR=$home/plugins
  export RABBITMQ_CONFIG_FILE=$CONFIG RABBITMQ_ADVANCED_CONFIG_FILE=$QUORATE_RUN_DIR/advanced.config
  export RABBITMQ_ENABLED_PLUGINS_FILE=$QUORATE_RUN_DIR/enabled_plugins RABBITMQ_LOGS=- RABBITMQ_LOG_BASE=$QUORATE_RUN_DIR
  export RABBITMQ_FEATURE_FLAGS_FILE=$DATA/feature_flags RABBITMQ_KEEP_PID_FILE_ON_EXIT=false RABBITMQ_PID_FILE=$QUORATE_RUN_DIR/pid
  export RABBITMQ_CONF_ENV_FILE=/dev/null ERL_MAX_ETS_TABLES=50000
  [[ -e $RABBITMQ_ENABLED_PLUGINS_FILE ]] || say '[].' >"$RABBITMQ_ENABLED_PLUGINS_FILE"
  exec erl -noinput -boot start_sasl +W w +S "${QUORATE_SCHEDULERS:-2}" +sbwt none +sbwtdcpu none +sbwtdio none +zdbbl 32768 +B i \
    -pa "$CODE" -name "$node" -start_epmd false -epmd_module quorate_addresses \
    -proto_dist inet_tls -ssl_dist_optfile "$QUORATE_RUN_DIR/distribution.config" \
    -kernel inet_dist_listen_min "$QUORATE_MEMBER_PORT" -kernel inet_dist_listen_max "$QUORATE_MEMBER_PORT" \
    -kernel inet_dist_use_interface "{${interface//./,}}" -kernel net_ticktime 20 -kernel prevent_overlapping_partitions false \
    -syslog logger '[]' -syslog syslog_error_logger false -s quorate_broker "$1"
}

# new_node IDENTITY: its name, for a copy that is about to be begun.
new_node() { printf '%s_%s_%s@%s' "$QUORATE_MEMBER" "$QUORATE_MEMBER_PORT" "$1" "$QUORATE_OWN_HOST"; }

# make_broker FUNCTION: a group of this member alone in an empty folder, by this function of quorate_broker.
make_broker() {
  local log=$QUORATE_RUN_DIR/private.log
  lock_data
  [[ -z $(ls -A "$DATA" 2>/dev/null) || -e $DATA/making ]] || die "$DATA is not empty"
  rm -rf "${DATA:?}"/*
  mkdir -p "$DATA"
  : >"$DATA/making"
  new_node "$(od -An -N6 -tx1 /dev/urandom | tr -d ' \n')" >"$NODE"
  export QUORATE_GROUP=''
  write_config PRIVATE
  (become_broker "$1") &>"$log" || die "the broker could not be made: $(grep -v '^ *$' "$log" | tail -3 | tr '\n' ' ')"
  : >"$DATA/joined"
  rm "$DATA/making"
  sync -f "$DATA"
}
