# The server's parameters; sourced after lib.sh.

# What quorate sets itself; the same list as parameters.fixed, by which a ClusterSpec is refused earlier and more kindly.
readonly FIXED=" @FIXED@ "

# read_parameters FILE NAME: lines `name<TAB>value` into the associative array NAME.
read_parameters() {
  local name value
  local -n into=$2
  into=()
  [[ -s $1 ]] || return 0
  while IFS=$'\t' read -r name value || [[ -n $name ]]; do
    [[ -n $name ]] || continue
    [[ $name =~ ^[a-z][a-z0-9_-]*$ ]] || die "parameter $name: not a parameter's name" "$IMPOSSIBLE"
    [[ $FIXED != *" $name "* ]] || die "parameter $name is set by quorate" "$IMPOSSIBLE"
    [[ $value != *[[:cntrl:]]* ]] || die "parameter $name: its value has a control character" "$IMPOSSIBLE"
    into[$name]=$value
  done <"$1"
}

# What is left of a member's memory is for copies of pages that change while a snapshot or the log is written.
default_maxmemory() { printf '%d' $((${QUORATE_MEMORY_BYTES:-536870912} / 10 * 6)); }

# tls_settings: lines `NAME VALUE`; nothing without TLS. Clients need no certificate of their own, unless the user's parameters say so,
# which come later. The same lines make a server that runs read the files again.
tls_settings() {
  has_tls || return 0
  printf '%s %s\n' tls-auth-clients no tls-ca-cert-file "$QUORATE_PEER_DIR/ca.crt" \
    tls-cert-file "$QUORATE_PEER_DIR/tls.crt" tls-key-file "$QUORATE_PEER_DIR/tls.key" tls-port "$QUORATE_TLS_PORT"
}
