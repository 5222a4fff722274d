# What the scripts of this engine share; sourced, never run. Every QUORATE_* variable is context that quorate gives.
set -Eeuo pipefail
umask 077
export LC_ALL=C.UTF-8

readonly DATA=$QUORATE_DATA_DIR
readonly CONFIG=$QUORATE_RUN_DIR/redis.conf
readonly ACCOUNTS=$QUORATE_RUN_DIR/accounts.acl
readonly SOCKET=$QUORATE_RUN_DIR/redis.sock
readonly SNAPSHOT=$DATA/dump.rdb
# A copy under way, and the data that it replaced.
readonly CLONING=$DATA.cloning
readonly REPLACED=$DATA.replaced
# One line, `HISTORY VALUE ANCESTORS`: where the copy was last seen to end, see position.sh.
readonly RECORD=quorate.position
# What a Secret holds has reached every node after so long: a minute between two looks of the kubelet, and a minute of its cache.
readonly SPREAD_SECONDS=120
# The parameters that the running server was last told.
readonly APPLIED=$QUORATE_RUN_DIR/parameters.applied
# The hash of quorate's former password, while servers take both, see passwords.
readonly FORMER=$QUORATE_RUN_DIR/former-password
# There while the server shows its certificate.
readonly SPEAKS_TLS=$QUORATE_RUN_DIR/speaks-tls
# A follower of nobody is one whose leader is where nothing can listen; made a leader, it would take writes.
readonly NOBODY_HOST=127.0.0.1 NOBODY_PORT=1
# Exit code by which quorate is told that trying again cannot help.
readonly IMPOSSIBLE=3

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

# A clone that was cut short between its two renames left the former data aside, and nothing else: puts it back.
put_back_replaced() {
  [[ -e $DATA || ! -e $REPLACED ]] || mv -T "$REPLACED" "$DATA"
}

# read_secret NAME: a password without its final newline, into SECRET.
read_secret() {
  local -a lines
  mapfile -t lines <"$QUORATE_CREDENTIALS_DIR/$1" || die "no password for account $1 in $QUORATE_CREDENTIALS_DIR"
  [[ ${#lines[@]} == 1 && -n ${lines[0]} ]] || die "the password of account $1 is empty or has more than one line"
  SECRET=${lines[0]}
}

# quoted TEXT: one argument of the configuration file, and of a command that the client reads.
quoted() {
  local text=${1//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}

# password_age: the seconds since quorate's password was brought to this member.
password_age() { printf '%d' $(($(date +%s) - $(stat -L -c %Y "$QUORATE_CREDENTIALS_DIR/quorate"))); }

# read_taken: the password that the own server takes from quorate in any case, into TAKEN: that of its configuration, which follows the
# file's, see passwords. Empty before the first start.
read_taken() {
  local text='' line=$'\n''masterauth "([^'$'\n'']*)"'$'\n'
  TAKEN=''
  [[ ! -e $CONFIG ]] || IFS= read -r -d '' text <"$CONFIG" || true
  [[ $text =~ $line ]] || return 0
  TAKEN=${BASH_REMATCH[1]//\\\"/\"}
  TAKEN=${TAKEN//\\\\/\\}
}

# read_mutual: the password that every server takes from quorate, into MUTUAL. A changed one has not reached all at first.
read_mutual() {
  read_taken
  read_secret quorate
  MUTUAL=$SECRET
  if [[ -n $TAKEN && $TAKEN != "$SECRET" ]] && (($(password_age) < SPREAD_SECONDS)); then MUTUAL=$TAKEN; fi
}

is_shard() { [[ -n ${QUORATE_SHARD_PEERS:-} ]]; }

# has_tls: whether members speak TLS with each other, and with clients that want it. Members of shards do all or none, as the port says
# at which they are told to meet; others do as soon as they have a certificate and a port to show it at.
has_tls() {
  [[ -n ${QUORATE_TLS_PORT:-} && -e ${QUORATE_PEER_DIR:-}/tls.key ]] || return 1
  ! is_shard || [[ $QUORATE_SHARD_PEERS == *":$QUORATE_TLS_PORT:"* ]]
}
# How another server is asked: whom to believe, and a certificate for those that ask for one.
TLS=()
! has_tls || TLS=(--tls --cacert "$QUORATE_PEER_DIR/ca.crt" --cert "$QUORATE_PEER_DIR/tls.crt" --key "$QUORATE_PEER_DIR/tls.key")

# peer_port PORT: where the server whose plain port that is speaks with other members. The two are as far apart at all members.
peer_port() { if has_tls; then printf '%d' $(($1 + QUORATE_TLS_PORT - QUORATE_PORT)); else printf '%d' "$1"; fi; }

# client PASSWORD ARGUMENT…: as account quorate, whose password is in the client's environment, which only this user can read.
client() { REDISCLI_AUTH=$1 redis-cli -e --user quorate "${@:2}"; }

# The connection to the own server that a session keeps, see session; empty elsewhere.
LINK=''

# converse COMMAND…: sends it over LINK, and prints the answer as the client does.
converse() {
  local LC_ALL=C argument request=''
  for argument; do request+="\$${#argument}"$'\r\n'"$argument"$'\r\n'; done
  printf '*%d\r\n%s' $# "$request" >&"$LINK"
  print_reply
}

# print_reply: the next one of LINK, of an array what is in it, a line each. Lengths are bytes: LC_ALL is C.
print_reply() {
  local line text count
  IFS= read -r -t "$SILENCE_SECONDS" -u "$LINK" line || die "the server does not answer"
  line=${line%$'\r'} count=${line:1}
  case $line in
    [+:]*) say "$count" ;;
    '$-1' | '*-1') say '' ;;
    '$'*)
      IFS= read -r -t "$SILENCE_SECONDS" -N $((count + 2)) -u "$LINK" text || die "the server does not answer"
      say "${text%$'\r\n'}"
      ;;
    '*'*) while ((count-- > 0)); do print_reply; done ;;
    *)
      say "$count" >&2
      return 1
      ;;
  esac
}
readonly SILENCE_SECONDS=4

# own COMMAND…: asks the own server; remote HOST PORT COMMAND…: asks another; leader COMMAND…: the one at QUORATE_LEADER_HOST.
own() {
  if [[ -n $LINK ]]; then
    converse "$@"
    return
  fi
  [[ -n ${TAKEN:-} ]] || read_taken
  client "$TAKEN" -s "$SOCKET" "$@"
}
remote() {
  [[ -n ${MUTUAL:-} ]] || read_mutual
  client "$MUTUAL" -h "$1" -p "$2" "${TLS[@]}" "${@:3}"
}
leader() { remote "$QUORATE_LEADER_HOST" "$(peer_port "$QUORATE_LEADER_PORT")" "$@"; }

# read_info ASK: what INFO answers to ASK, in INFO and, a line for each follower, in FOLLOWERS.
declare -A INFO=()
declare -a FOLLOWERS=()
read_info() {
  local name value text
  text=$("$1" info server replication persistence) || die "the server does not answer"
  INFO=() FOLLOWERS=()
  while IFS=: read -r name value; do
    value=${value%$'\r'}
    if [[ $name =~ ^slave[0-9]+$ ]]; then FOLLOWERS+=("$value"); elif [[ -n $value ]]; then INFO[$name]=$value; fi
  done <<<"$text"
  [[ -n ${INFO[role]:-} ]] || die "the server says nothing of its replication"
}
