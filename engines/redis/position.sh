# Where this copy ends; sourced after lib.sh.
#
# While it runs the server knows exactly: the replication id that it is on, and the offset. A start from a snapshot finds both
# again, a start from the log neither: it begins with an id that nobody else has. So what was last seen is kept beside the data,
# with the ids that came before. After a crash that says too little rather than too much, by what was written since the last look.
#
# Followers may have more than that. A leader with "appendfsync always" sends them a write only once it is in its own log on disk: so
# that log has all of the history that it led, wherever that came to end, and when it leads again none of them has anything to lose.

# Empty after a start until the first look; then the id that the server made up at its start, or - when it found its own.
readonly BLANK=$QUORATE_RUN_DIR/blank-id
# `HISTORY ANCESTORS` of the leader that this member was last told to follow.
readonly UPSTREAM=$QUORATE_RUN_DIR/upstream
readonly MAX_ANCESTORS=32
# The history that this server led when it was last looked at, if its log has all of it; beside the data that it speaks of.
readonly LED=quorate.led
# A place that no history reaches.
readonly NO_END=9223372036854775807

# lock_position: nobody else looks meanwhile.
lock_position() {
  exec 8>>"$QUORATE_RUN_DIR/position.lock"
  flock -w 4 8 || die "another action still looks at the position"
}
unlock_position() { exec 8>&-; }

# is_logged_first: whether the server was told to write to its log on disk before anything else.
is_logged_first() {
  local name value policy=''
  [[ -e $APPLIED ]] || return 1
  while IFS=$'\t' read -r name value; do [[ $name != appendfsync ]] || policy=$value; done <"$APPLIED"
  [[ $policy == always ]]
}

# read_led: into LED_HISTORY; empty for none.
read_led() {
  LED_HISTORY=''
  [[ ! -e $DATA/$LED ]] || read -r LED_HISTORY <"$DATA/$LED" || true
}

# note_led: of the position that was just recorded.
note_led() {
  if [[ ${INFO[role]} == master && ! -e $SNAPSHOT ]] && is_log_whole && is_logged_first; then
    read_led
    [[ $LED_HISTORY != "$HISTORY" ]] || return 0
    say "$HISTORY" >"$DATA/$LED.new"
    mv "$DATA/$LED.new" "$DATA/$LED"
  else
    forget_led
  fi
}
forget_led() { rm -f "$DATA/$LED"; }

# Reads the record into HISTORY, VALUE and ANCESTORS (`history:value,…`, oldest first).
read_record() {
  HISTORY='' VALUE=0 ANCESTORS=''
  [[ ! -e $DATA/$RECORD ]] || read -r HISTORY VALUE ANCESTORS <"$DATA/$RECORD"
}

# write_record FOLDER HISTORY VALUE ANCESTORS
write_record() {
  printf '%s %s %s\n' "${@:2}" >"$1/$RECORD.new"
  mv "$1/$RECORD.new" "$1/$RECORD"
}

# Whether the log has everything: not while the server writes it anew after it has loaded a snapshot.
is_log_whole() { [[ ${INFO[aof_enabled]} == 1 && ! -e $DATA/appendonlydir/temp-appendonly.aof.incr ]]; }

# The first look after a start. Until the log is whole a crash would lose what is written meanwhile: not up yet.
settle() {
  [[ ${INFO[loading]} == 0 ]] || die "the data is still being loaded"
  # A server of shards comes round to whom it follows only after it has read its data; till then it says that it leads.
  ! is_shard || [[ ${INFO[role]} == slave ]] || die "the server has not come round to whom it follows"
  [[ ${INFO[aof_enabled]} == 1 ]] || own config set appendonly yes >/dev/null
  is_log_whole || die "the log is still being written anew"
  if [[ ${INFO[master_replid]} == "$HISTORY" ]]; then say - >"$BLANK"; else say "${INFO[master_replid]}" >"$BLANK"; fi
}

# Sets ANCESTORS for a server that has left HISTORY.
descend() {
  local upstream='' given='' fork
  [[ ! -e $UPSTREAM ]] || read -r upstream given <"$UPSTREAM"
  if [[ ${INFO[role]} == slave && $upstream == "${INFO[master_replid]}" ]]; then
    ANCESTORS=$given
    return
  elif [[ ${INFO[master_replid2]} == "$HISTORY" ]]; then
    fork=$((INFO[second_repl_offset] - 1))
  elif [[ ${INFO[role]} == master ]]; then
    read_led
    if [[ $LED_HISTORY == "$HISTORY" ]]; then fork=$NO_END; else fork=$VALUE; fi
  else
    ANCESTORS='' # copied from a leader that has left the history it was known by
    return
  fi
  ANCESTORS+=${ANCESTORS:+,}$HISTORY:$fork
  ANCESTORS=$(tr , '\n' <<<"$ANCESTORS" | tail -n "$MAX_ANCESTORS" | paste -sd,)
}

# Finds where the running server's copy ends: INFO, HISTORY, VALUE and ANCESTORS. One at a time, as it writes the record.
locate() {
  lock_position
  read_info own
  read_record
  [[ -s $BLANK ]] || settle
  if [[ ${INFO[loading]} == 0 && ${INFO[master_replid]} != "$(<"$BLANK")" ]]; then
    [[ ${INFO[master_replid]} == "$HISTORY" ]] || descend
    HISTORY=${INFO[master_replid]} VALUE=${INFO[master_repl_offset]}
    write_record "$DATA" "$HISTORY" "$VALUE" "$ANCESTORS"
    # The next start must find the log, see configure.
    if [[ -e $SNAPSHOT && ${INFO[master_sync_in_progress]:-0} == 0 ]] && is_log_whole; then rm -f "$SNAPSHOT"; fi
    note_led
  fi # else the copy is what was recorded: a server that made up an id, or one that is just loading its leader's snapshot
  unlock_position
}
