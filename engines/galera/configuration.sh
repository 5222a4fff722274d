# The server's configuration; sourced after lib.sh.

# write_configuration GROUP-ADDRESS
write_configuration() {
  local name value provider
  mkdir -p "$DATA.tmp"
  provider="gmcast.listen_addr=ssl://$LISTEN:$GROUP_PORT;ist.recv_addr=ssl://$QUORATE_OWN_HOST:$MISSED_PORT"
  provider+=";ist.recv_bind=ssl://$LISTEN:$MISSED_PORT"
  provider+=";socket.ssl=yes;socket.ssl_key=$QUORATE_PEER_DIR/tls.key;socket.ssl_cert=$QUORATE_PEER_DIR/tls.crt"
  provider+=";socket.ssl_ca=$QUORATE_PEER_DIR/ca.crt"
  # Who may begin the group again after all have stopped, the agents know; the provider would not ask them.
  provider+=";pc.recovery=false;gcache.recover=yes"
  {
    cat <<CONF
[mysqld]
datadir=$DATA
tmpdir=$DATA.tmp
socket=$SOCKET
pid-file=$QUORATE_RUN_DIR/server.pid
port=$QUORATE_PORT
bind-address=$LISTEN
skip-name-resolve
symbolic-links=OFF
local-infile=OFF
ssl-cert=$QUORATE_PEER_DIR/tls.crt
ssl-key=$QUORATE_PEER_DIR/tls.key
ssl-ca=$QUORATE_PEER_DIR/ca.crt
default-storage-engine=InnoDB
binlog-format=ROW
innodb-autoinc-lock-mode=2
wsrep-on=ON
wsrep-provider=/usr/lib/galera/libgalera_smm.so
wsrep-cluster-name=$(printf '%s/%s' "$QUORATE_NAMESPACE" "$QUORATE_CLUSTER" | sha256sum | cut -c1-32)
wsrep-cluster-address=gcomm://$1
wsrep-node-name=$QUORATE_MEMBER
wsrep-node-address=$QUORATE_OWN_HOST:$GROUP_PORT
wsrep-node-incoming-address=$QUORATE_OWN_HOST:$QUORATE_PORT
wsrep-sst-method=mariabackup
wsrep-sst-auth=transfer:$(secret transfer)
wsrep-sst-receive-address=$QUORATE_OWN_HOST:$COPY_PORT
CONF
    # Half of the memory for pages, and the rest for connections and for what the others send; a parameter says otherwise.
    printf 'innodb-buffer-pool-size=%s\n' $((QUORATE_MEMORY_BYTES / 2))
    if [[ -e $QUORATE_PARAMETERS_FILE ]]; then
      while IFS=$'\t' read -r name value; do
        # The server takes both spellings; of one that quorate sets itself, the other would pass unseen.
        [[ $name != *-* && $name != loose_* && $name != skip_* ]] || die "parameter $name: write the variable's own name, with underscores"
        # Names with a dot are the provider's.
        if [[ $name == *.* ]]; then provider+=";$name=$value"; else printf '%s=%s\n' "$name" "$value"; fi
      done <"$QUORATE_PARAMETERS_FILE"
    fi
    printf 'wsrep-provider-options="%s"\n' "$provider"
    # A copy goes to who has a certificate of the cluster's authority, whatever its address is.
    printf '[sst]\nencrypt=4\ntcert=%s\ntkey=%s\ntca=%s\n' "$QUORATE_PEER_DIR/tls.crt" "$QUORATE_PEER_DIR/tls.key" "$QUORATE_PEER_DIR/ca.crt"
  } >"$CONFIG"
}
