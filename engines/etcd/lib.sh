# What the scripts of this engine share; sourced, never run. Every QUORATE_* variable is context that quorate gives.
set -Eeuo pipefail
umask 077

readonly DATA=$QUORATE_DATA_DIR
# Where this member's own agent speaks to it, and nobody else: reached inside the container only, with the members' certificate.
readonly ADMIN=unixs://$QUORATE_RUN_DIR/admin.sock
# Whom the server takes the bearer of that certificate for: its common name.
readonly AGENT='quorate member'
readonly LISTEN=${QUORATE_LISTEN_HOST:-0.0.0.0}
# Authorities by whose certificates clients are known; there are none where an earlier quorate looks after the cluster.
readonly CLIENTS_AUTHORITY=$QUORATE_PEER_DIR/clients-ca.crt

say() { printf '%s\n' "$1"; }

# die MESSAGE [CODE]
die() {
  printf '%s\n' "$1" >&2
  exit "${2:-1}"
}

# The server has no lock of its own that holds between two containers on one node.
lock_data() {
  mkdir -p "${DATA%/*}"
  exec 9>>"$DATA.lock"
  flock -w "${1:-5}" 9 || die "another process still uses $DATA"
}

# ctl ARGUMENT…: the client, as the agent of this member. What it prints on standard error is its logger's.
ctl() {
  ETCDCTL_API=3 etcdctl --endpoints="$ADMIN" --dial-timeout=2s --command-timeout="${CTL_TIMEOUT:-4s}" \
    --cert="$QUORATE_PEER_DIR/tls.crt" --key="$QUORATE_PEER_DIR/tls.key" --insecure-skip-tls-verify "$@"
}

# member_address HOST [PORT]
member_address() { printf 'https://%s:%s' "$1" "${2:-$QUORATE_MEMBER_PORT}"; }

# secret NAME: a password without its final newline. The client takes what is before the first blank, and says nothing of the rest.
secret() {
  local value
  value=$(<"$QUORATE_CREDENTIALS_DIR/$1") || die "no password for account $1 in $QUORATE_CREDENTIALS_DIR"
  [[ -n $value && $value != *[[:space:]]* ]] || die "the password of account $1 is empty, or has blanks or more than one line"
  printf '%s' "$value"
}

# Where clients are served without TLS: everywhere, or to the scripts of this member alone.
plain_host() {
  if is_tls_only; then printf '127.0.0.1'; else printf '%s' "${1:-$LISTEN}"; fi
}

# A parameter of ours: etcd has no such flag.
is_tls_only() {
  local name value
  [[ -e $QUORATE_PARAMETERS_FILE ]] || return 1
  while IFS=$'\t' read -r name value; do
    [[ $name == client-tls-only ]] || continue
    [[ $value == true || $value == false ]] || die "parameter client-tls-only is \"$value\": set it to true or false"
    [[ $value == true ]] && return 0
  done <"$QUORATE_PARAMETERS_FILE"
  return 1
}

has_client_tls() { [[ -n ${QUORATE_TLS_PORT:-} && -e $CLIENTS_AUTHORITY ]]; }

# Fills ARGUMENTS with what every server of this member is started with. Members trust whoever has a certificate of the
# cluster's authority, whatever address it comes from: pods change theirs.
server_arguments() { # DATA-FOLDER [AUTHORITIES-OF-ALL-WHO-CONNECT]
  local own clients="http://$QUORATE_OWN_HOST:$QUORATE_PORT"
  own=$(member_address "$QUORATE_OWN_HOST")
  ! is_tls_only || clients="https://$QUORATE_OWN_HOST:$QUORATE_TLS_PORT"
  rm -f "$QUORATE_RUN_DIR/admin.sock"
  ARGUMENTS=(
    --name="$QUORATE_MEMBER" --data-dir="$1"
    --initial-cluster-token="$QUORATE_NAMESPACE-$QUORATE_CLUSTER"
    --listen-peer-urls="https://$LISTEN:$QUORATE_MEMBER_PORT" --initial-advertise-peer-urls="$own"
    --advertise-client-urls="$clients"
    --cert-file="$QUORATE_PEER_DIR/tls.crt" --key-file="$QUORATE_PEER_DIR/tls.key"
    --trusted-ca-file="${2:-$QUORATE_PEER_DIR/ca.crt}" --client-cert-auth
    --peer-cert-file="$QUORATE_PEER_DIR/tls.crt" --peer-key-file="$QUORATE_PEER_DIR/tls.key"
    --peer-trusted-ca-file="$QUORATE_PEER_DIR/ca.crt" --peer-client-cert-auth --peer-skip-client-san-verification
    # Passwords are 24 random bytes: a slow hash protects nothing, and costs every client that connects.
    --bcrypt-cost=4
  )
}

# Runs the server of DATA-FOLDER for a while, reached by its agent alone: starts it, calls WORK, stops it.
run_private() { # DATA-FOLDER WORK ARGUMENT…
  local folder=$1 work=$2 log=$QUORATE_RUN_DIR/private.log server code=0
  shift 2
  server_arguments "$folder"
  etcd "${ARGUMENTS[@]}" --listen-client-urls="$ADMIN" "$@" &>"$log" &
  server=$!
  until ctl endpoint status &>/dev/null; do
    kill -0 "$server" 2>/dev/null || die "the server ended: $(grep -E '"level":"(fatal|error|panic)"' "$log" | tail -1)"
    sleep 0.05
  done
  "$work" || code=$?
  kill -TERM "$server"
  wait "$server" || true
  [[ $code == 0 ]] || die "$work failed"
}
