# How a write is probed; sourced after lib.sh and slots.sh.
readonly CHOSEN=$QUORATE_RUN_DIR/heartbeat-key

# choose_key: a shard that owns nothing, or next to nothing, has no such key, and nobody to serve.
choose_key() {
  local n slot
  local -a owned=()
  read_bus own
  expand "$BUS_OWNED" owned
  n=0
  while read -r slot; do
    if [[ -n ${owned[slot]:-} ]]; then
      printf 'quorate:heartbeat:%s' "$n" >"$CHOSEN"
      return
    fi
    n=$((n + 1))
  done < <(for ((n = 0; n < 1000; n++)); do printf 'cluster keyslot quorate:heartbeat:%s\n' "$n"; done | LINK='' own)
  : >"$CHOSEN"
}

# rests: the shard has nothing to take a write for. Who does not lead takes none in any case, and a leader whose slots the other servers
# take for somebody else's cannot.
rests() {
  read_info own
  [[ ${INFO[role]} == master ]] || die "the server is not a leader"
  read_slots own
  [[ -n $BUS_OWNED || -z $(without "$OWNED" "$MOVING") ]] || die "the server does not serve the slots that its shard owns: $OWNED"
}

beat() { own set "$1" "$QUORATE_MEMBER $QUORATE_EPOCH" >/dev/null; }

# probe: writes a key of quorate's own, and learns whether that was acknowledged. In a shard it is one of a slot that the shard owns.
probe() {
  if ! is_shard; then
    beat quorate:heartbeat
  else
    local key=''
    [[ ! -e $CHOSEN ]] || read -r key <"$CHOSEN" || true
    if [[ -z $key ]] || ! beat "$key"; then
      choose_key
      read -r key <"$CHOSEN" || true
      if [[ -n $key ]]; then beat "$key"; else rests; fi
    fi
  fi
}
