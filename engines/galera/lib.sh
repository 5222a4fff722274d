# What the scripts of this engine share; sourced, never run. Every QUORATE_* variable is context that quorate gives.
set -Eeuo pipefail
umask 077

readonly DATA=$QUORATE_DATA_DIR
readonly CONFIG=$QUORATE_RUN_DIR/server.cnf
readonly SOCKET=$QUORATE_RUN_DIR/server.sock
# Where the stopped copy ends, as "inspect" found out: read by the next start, and gone with it.
readonly POSITION=$QUORATE_RUN_DIR/position
# The password of account quorate that is known to be in this member's data, beside them: without it nobody could open a group that was
# stopped as a whole while the password changed. It opens nothing but the socket of this member.
readonly TAKEN=$DATA.password
readonly LISTEN=${QUORATE_LISTEN_HOST:-0.0.0.0}
# Members speak on three ports that follow each other: the group, what a member missed, a whole copy.
readonly GROUP_PORT=$QUORATE_MEMBER_PORT
readonly MISSED_PORT=$((QUORATE_MEMBER_PORT + 1))
readonly COPY_PORT=$((QUORATE_MEMBER_PORT + 2))
readonly NO_HISTORY=00000000-0000-0000-0000-000000000000

say() { printf '%s\n' "$1"; }

# die MESSAGE [CODE]
die() {
  printf '%s\n' "$1" >&2
  exit "${2:-1}"
}

# The server locks its files only against servers in the same container.
lock_data() {
  mkdir -p "${DATA%/*}"
  exec 9>>"$DATA.lock"
  flock -w "${1:-5}" 9 || die "another process still uses $DATA"
}

# secret NAME: a password without its final newline.
secret() {
  local value
  value=$(<"$QUORATE_CREDENTIALS_DIR/$1") || die "no password for account $1 in $QUORATE_CREDENTIALS_DIR"
  [[ -n $value && $value != *[$'\n\'"\\']* ]] || die "the password of account $1 is empty, or has quotes or more than one line"
  printf '%s' "$value"
}

# opens NAME PASSWORD: whether the running server lets that account in, at its socket. Passwords travel in a file: a command line can
# be seen by others.
opens() {
  mariadb --defaults-file=<(printf '[client]\nuser=%s\npassword="%s"\nsocket=%s\n' "$1" "$2" "$SOCKET") --connect-timeout=3 --execute='DO 0' &>/dev/null
}

# own_password: the one of account quorate that the data have. A changed one comes into the data of all at once, see passwords.
own_password() {
  local wanted taken
  wanted=$(secret quorate)
  if [[ -e $TAKEN ]] && taken=$(<"$TAKEN") && [[ $taken != "$wanted" ]] && ! opens quorate "$wanted"; then wanted=$taken; fi
  printf '%s' "$wanted"
}

# write_taken: what is in the file of account quorate.
write_taken() {
  local wanted
  wanted=$(secret quorate)
  [[ ! -e $TAKEN || $(<"$TAKEN") != "$wanted" ]] || return 0
  printf '%s' "$wanted" >"$TAKEN.new"
  mv "$TAKEN.new" "$TAKEN"
}

# transfer_password: the one of account transfer that the data have; the configuration has it from the last start, see passwords.
transfer_password() {
  local wanted former
  wanted=$(secret transfer)
  if ! opens transfer "$wanted"; then
    former=$(sed -n 's/^wsrep-sst-auth=transfer://p' "$CONFIG")
    [[ -z $former ]] || wanted=$former
  fi
  printf '%s' "$wanted"
}

# own_client ARGUMENT…: the client, as the agent of this member.
own_client() {
  mariadb --defaults-file=<(printf '[client]\nuser=quorate\npassword="%s"\nsocket=%s\n' "$(own_password)" "$SOCKET") \
    --batch --skip-column-names --connect-timeout=3 "$@"
}

# state_field NAME: of the file in which the provider keeps where its copy ends, which is exact only after a clean stop.
state_field() {
  [[ -e $DATA/grastate.dat ]] || return 0
  sed -n "s/^$1: *//p" "$DATA/grastate.dat"
}

# Sets FOUND_POSITION to where the stopped copy ends, as history:number; empty when it holds nothing of its own.
find_position() {
  local history number
  FOUND_POSITION=''
  history=$(state_field uuid)
  number=$(state_field seqno)
  # A copy that was on its way when it was cut short.
  [[ ! -e $DATA/sst_in_progress && -n $history && $history != "$NO_HISTORY" ]] || return 0
  if [[ $number == -1 ]]; then
    local log=$QUORATE_RUN_DIR/recovery.log
    write_configuration ''
    # The storage engine replays its log first: the copy ends where that does.
    mariadbd --defaults-file="$CONFIG" --wsrep-recover --log-error="$log.part" &>"$log" || die "the copy cannot be read: $(grep -a ERROR "$log.part" "$log" | tail -1)"
    number=$(sed -n 's/.*WSREP: Recovered position: *//p' "$log.part" | tail -1)
    rm -f "$log.part"
    [[ $number == *:* ]] || die "the server did not say where the copy ends"
    history=${number%:*}
    number=${number##*:}
  fi
  [[ $history == "$NO_HISTORY" || $number == -1 ]] || FOUND_POSITION=$history:$number
}
