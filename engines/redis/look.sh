# What an observation is made of; sourced after lib.sh, position.sh and slots.sh.

# look: prints one line of JSON, an EngineObservation.
look() {
  local ancestors='' ancestor followers='' follower item streaming writable receiving lag shard
  locate
  # Whoever is told to follow this server comes with TLS. One that was started by an Engine without learns it here; shards never do while
  # they run, because servers that do and servers that do not cannot talk.
  if has_tls && ! is_shard && [[ ! -e $SPEAKS_TLS ]]; then "$QUORATE_ENGINE_DIR/reload" &>"$QUORATE_RUN_DIR/tls.log" || true; fi

  for ancestor in ${ANCESTORS//,/ }; do
    printf -v item '{"history":"%s","value":"%s"}' "${ancestor%:*}" "${ancestor#*:}"
    ancestors+=${ancestors:+,}$item
  done

  # What a follower has confirmed is up to a second old: it confirms once a second. Its address is its name, see configure.
  for follower in "${FOLLOWERS[@]}"; do
    [[ $follower =~ ^ip=([^,]*),port=[0-9]+,state=([^,]+),offset=([0-9]+), ]] || die "not understood: $follower"
    streaming=false
    [[ ${BASH_REMATCH[2]} != online ]] || streaming=true
    printf -v item '{"name":"%s","value":"%s","streaming":%s}' "${BASH_REMATCH[1]}" "${BASH_REMATCH[3]}" "$streaming"
    followers+=${followers:+,}$item
  done

  writable=false receiving=false lag=''
  if [[ ${INFO[role]} == master ]]; then
    writable=true
  elif [[ ${INFO[master_link_status]} == up ]]; then
    # What arrives is applied at once, and a leader says something each second: the copy is as old as the silence.
    receiving=true lag=${INFO[master_last_io_seconds_ago]}
    ((lag > 1)) || lag=0
  elif ((INFO[master_link_down_since_seconds] >= 0)); then
    lag=${INFO[master_link_down_since_seconds]}
  fi
  shard=''
  if is_shard; then
    read_slots own
    printf -v shard ',"shard":{"slots":"%s","moving":"%s","movingTo":"%s"}' "$OWNED" "$MOVING" "$MOVING_TO"
    read_bus own
    # Names may take seconds to find, and an engine that says nothing for so long counts as gone.
    if ! knows_others; then (LINK='' && flock -n 7 && meet_others) 3>&- 7>>"$QUORATE_RUN_DIR/meet.lock" &>"$QUORATE_RUN_DIR/meet.log" & fi
  fi
  printf '{"writable":%s,"receiving":%s,"position":{"history":"%s","value":"%s","ancestors":[%s]},"followers":[%s],"version":"%s"%s%s}\n' \
    "$writable" "$receiving" "$HISTORY" "$VALUE" "$ancestors" "$followers" "${INFO[redis_version]}" "${lag:+,\"replayLagSeconds\":$lag}" "$shard"
}
