# Of a cluster that is sharded by slots: what this shard owns, and who the others are; sourced after lib.sh.
#
# Which slots a shard owns is part of its data: a function library that says so, in order with the writes and on every follower.
# So whoever leads next claims just what belongs to the copy that it leads with. What the servers tell each other about slots
# (the server's own cluster mode) only brings that to clients: nodes.conf is written anew before every start, and a server
# starts as a follower of nobody, which owns nothing and can write nothing. Of the former one it keeps who led the other shards.

readonly NODES=$DATA/nodes.conf
# The leader of those that follow nobody: an entry of nodes.conf, at an address where nothing listens.
readonly NOBODY_ID=0000000000000000000000000000000000000000
readonly LIBRARY=quorate_slots

# What was found by find_id before: lines `MEMBER ID`. Every look needs all of them.
readonly IDS=$QUORATE_RUN_DIR/node-ids
declare -A KNOWN_IDS=()

# find_id MEMBER: into ID. A member's node has the same identity for ever, whatever becomes of its volume.
find_id() {
  local member
  if [[ ${#KNOWN_IDS[@]} == 0 && -e $IDS ]]; then
    while read -r member ID; do [[ ! $ID =~ ^[0-9a-f]{40}$ ]] || KNOWN_IDS[$member]=$ID; done <"$IDS"
  fi
  ID=${KNOWN_IDS[$1]:-}
  [[ -z $ID ]] || return 0
  ID=$(printf '%s/%s' "$QUORATE_NAMESPACE" "$1" | sha1sum | cut -d' ' -f1)
  KNOWN_IDS[$1]=$ID
  printf '%s %s\n' "$1" "$ID" >>"$IDS"
}

# former_epoch: the highest epoch of the servers' own that was ever heard of here. A leader that did not go beyond it would be told
# that its slots are its predecessor's, and give them up.
former_epoch() {
  local epoch=''
  [[ ! -e $NODES ]] || epoch=$(sed -n 's/^vars currentEpoch \([0-9]*\) .*/\1/p' "$NODES")
  printf '%s' "${epoch:-0}"
}

# former_leaders: the lines of other shards' leaders in nodes.conf as the server last left it. One that is promoted before it knows a
# majority of all leaders is held back by the server for five seconds, as one that was cut off. Where they are now it finds out anew.
former_leaders() {
  local entry line range has_slots
  local -A others=()
  [[ -e $NODES ]] && grep -q '^vars currentEpoch ' "$NODES" || return 0
  for entry in ${QUORATE_SHARD_PEERS//,/ }; do
    entry=${entry%%=*}
    [[ ${entry%-*} != "${QUORATE_MEMBER%-*}" ]] || continue
    find_id "$entry"
    others[$ID]=1
  done
  while IFS= read -r line; do
    [[ -n ${others[${line%% *}]:-} && $line =~ $LEADER_LINE ]] || continue
    has_slots=''
    for range in ${BASH_REMATCH[5]}; do
      has_slots=yes
      ((${range#*-} < 16384)) || continue 2
    done
    [[ -z $has_slots ]] || say "$line"
  done <"$NODES"
}
# A server does not start with a line that it does not understand.
readonly LEADER_LINE='^[0-9a-f]{40} [0-9.]+:[0-9]+@[0-9]+(,[^ ]*)? master(,nofailover)?(,fail[?]?)? - [0-9]+ [0-9]+ [0-9]+ (connected|disconnected)(( [0-9]+(-[0-9]+)?)*)$'

# Writes nodes.conf as of a follower of nobody.
write_nodes() {
  local epoch port=${QUORATE_MEMBER_PORT:-$((QUORATE_PORT + 10000))}
  epoch=$(former_epoch)
  find_id "$QUORATE_MEMBER"
  cat >"$NODES.new" <<NODES
$NOBODY_ID $NOBODY_HOST:$NOBODY_PORT@$NOBODY_PORT master,fail - 1 1 0 disconnected
$ID :$(peer_port "$QUORATE_PORT")@$port myself,slave $NOBODY_ID 0 0 0 connected
$(former_leaders)
vars currentEpoch $epoch lastVoteEpoch 0
NODES
  mv "$NODES.new" "$NODES"
}

# The server's lines about cluster mode. Nobody but quorate makes a leader; a shard without one does not stop the others.
cluster_configuration() {
  cat <<CONF
cluster-enabled yes
cluster-config-file ${NODES##*/}
cluster-port ${QUORATE_MEMBER_PORT:-$((QUORATE_PORT + 10000))}
cluster-replica-no-failover yes
cluster-allow-replica-migration no
cluster-require-full-coverage no
cluster-allow-reads-when-down yes
CONF
  has_tls || return 0
  # Clients are sent to the port that fits how they came, and by names: the certificate has those, and no address.
  cat <<CONF
tls-cluster yes
cluster-announce-hostname $QUORATE_OWN_HOST
cluster-preferred-endpoint-type hostname
CONF
}

# One action after the other changes slots.
lock_slots() {
  exec 6>>"$QUORATE_RUN_DIR/slots.lock"
  flock -w 5 6 || die "another action still changes slots"
}

# expand TEXT NAME: `3-5,9` as numbers into the array NAME.
expand() {
  local range slot
  local -n into=$2
  into=()
  for range in ${1//,/ }; do
    for ((slot = ${range%-*}; slot <= ${range#*-}; slot++)); do into[slot]=$slot; done
  done
}

# ranges NAME: the numbers that are the keys of the array NAME, as text.
ranges() {
  local slot first='' last='' text=''
  local -n of=$1
  for slot in "${!of[@]}" end; do
    if [[ -n $first && $slot != $((last + 1)) ]]; then
      text+=${text:+,}$first
      [[ $first == "$last" ]] || text+=-$last
      first=''
    fi
    [[ -n $first ]] || first=$slot
    last=$slot
  done
  printf '%s' "$text"
}

# without SLOTS SOME: the first of them but the others.
without() {
  local slot
  local -a left=() some=()
  [[ -n $2 ]] || { printf '%s' "$1"; return; } # as a rule, and thousands are not counted for it
  expand "$1" left
  expand "$2" some
  for slot in "${some[@]}"; do unset "left[slot]"; done
  ranges left
}

# read_slots ASK: OWNED, and MOVING with MOVING_TO (the shard that they are on their way to), as the data of that server has it.
read_slots() {
  local code said=$'\n''-- owned[|]([^|]*)[|]([^|]*)[|]([^'$'\n''"]*)'
  code=$("$1" function list libraryname "$LIBRARY" withcode) || die "the server does not say which slots its shard owns"
  OWNED='' MOVING='' MOVING_TO=''
  [[ ! $code =~ $said ]] || OWNED=${BASH_REMATCH[1]} MOVING=${BASH_REMATCH[2]} MOVING_TO=${BASH_REMATCH[3]}
}

# peer COMMAND…: asks the server at PEER_HOST and PEER_PORT, which may be gone.
peer() {
  [[ -n ${MUTUAL:-} ]] || read_mutual
  REDISCLI_AUTH=$MUTUAL timeout 3 redis-cli -e --user quorate -h "$PEER_HOST" -p "$PEER_PORT" "${TLS[@]}" "$@"
}

# both SLOTS SOME: the slots that are in both.
both() { without "$1" "$(without "$1" "$2")"; }

# refuse_others SLOTS: dies unless every other shard says that none of them is its own. A copy that is behind may claim what its shard
# has given away since, and then it is asked again; what nobody of a shard denies may be that shard's.
refuse_others() {
  local entry shard said taken own_shard=${QUORATE_MEMBER%-*}
  local -A silent=()
  read_mutual
  for entry in ${QUORATE_SHARD_PEERS//,/ }; do
    shard=${entry%%=*} shard=${shard%-*}
    [[ $shard != "$own_shard" ]] || continue
    IFS=: read -r PEER_HOST PEER_PORT _ <<<"${entry#*=}"
    if ! said=$(read_slots peer 2>/dev/null && printf '%s,%s' "$OWNED" "$MOVING"); then
      silent[$shard]=${silent[$shard]-yes}
      continue
    fi
    silent[$shard]=''
    taken=$(both "$1" "${said#,}")
    [[ -z $taken ]] || die "slots $taken are owned by $shard, as ${entry%%=*} says"
  done
  for shard in "${!silent[@]}"; do
    [[ -z ${silent[$shard]} ]] || die "$shard does not say which slots it owns: it may own $1"
  done
}

# write_slots ASK OWNED MOVING MOVING_TO: returns once every follower that is connected has it, too. Whoever leads next must know.
write_slots() {
  local answers followers
  followers=$("$1" info replication | sed -n 's/^connected_slaves:\([0-9]*\).*/\1/p')
  answers=$(
    "$1" <<TEXT
function load replace "#!lua name=$LIBRARY\n-- owned|$2|$3|$4\nredis.register_function('$LIBRARY', function() return '$2' end)"
wait $followers 3000
TEXT
  )
  [[ $answers == "$LIBRARY"$'\n'* ]] || die "the server does not take which slots its shard owns: $answers"
  ((${answers#*$'\n'} >= followers)) || die "a follower has not confirmed which slots its leader owns"
}

# read_bus ASK: what that server knows of nodes: BUS_ID and BUS_OWNED of itself, and in BUS a line of CLUSTER NODES for each by its id.
declare -A BUS=()
read_bus() {
  local id text line range owned
  text=$("$1" cluster nodes) || die "the server does not say which others it knows"
  BUS=() BUS_ID='' BUS_OWNED=''
  while read -r id line; do
    BUS[$id]=$line
    [[ $line == *myself,* ]] || continue
    # After address, flags, leader, three numbers and the link come the slots; in brackets those on their way.
    read -r _ _ _ _ _ _ _ BUS_OWNED <<<"$line"
    BUS_ID=$id owned=''
    for range in $BUS_OWNED; do [[ $range == '['* ]] || owned+=${owned:+,}$range; done
    BUS_OWNED=$owned
  done <<<"$text"
}

# tell ASK: sends the commands of standard input in one go: a server writes nodes.conf once for all that it reads at once.
tell() {
  local said
  said=$("$1" --pipe 2>&1) || die "the server refuses slots: $(grep -v '^All data\|^Last reply\|^errors: ' <<<"$said" | head -n 1)"
}

# take SLOTS: the own server's as far as it knows. In one go where nobody is known to have any of them (after a start), or all are known
# to be somebody's (the former leader's): thousands, one by one, cost a new leader a second on a busy machine.
take() {
  local range slot
  local -a bounds=() slots=()
  for range in ${1//,/ }; do bounds+=("${range%-*}" "${range#*-}"); done
  if own cluster addslotsrange "${bounds[@]}" &>/dev/null; then return; fi
  if own cluster delslotsrange "${bounds[@]}" &>/dev/null && own cluster addslotsrange "${bounds[@]}" &>/dev/null; then return; fi
  expand "$1" slots
  for slot in "${slots[@]}"; do printf 'cluster setslot %s node %s\n' "$slot" "$BUS_ID"; done | tell own
}

# claim SLOTS: the own server's from now on. The last one is taken as an import, because others are told of that at once.
claim() {
  local missing rest range last
  read_bus own
  missing=$(without "$1" "$BUS_OWNED")
  [[ -n $missing ]] || return 0
  range=${missing##*,} last=${missing##*[,-]}
  rest=${missing%"$range"}
  if [[ $range != "$last" ]]; then rest+=${range%-*}-$((last - 1)); fi
  rest=${rest%,}
  [[ -z $rest ]] || take "$rest"
  printf 'cluster setslot %s importing %s\ncluster setslot %s node %s\n' "$last" "$NOBODY_ID" "$last" "$BUS_ID" | tell own
}

# meet HOST PORT MEMBER_PORT [LINE]: makes the own server know that node, and the node's cluster the own server. LINE is what the own
# server knows of it; nothing is done when that is where it is.
meet() {
  local address
  address=$(timeout 2 getent ahostsv4 "$1" | sed -n '1s/ .*//p')
  [[ -n $address ]] || die "the address of $1 is not known"
  [[ ${4:-} != "$address:"* ]] || return 0
  own cluster meet "$address" "$2" "$3" >/dev/null
}

# meet_leader: the leader's identity into LEADER_ID, once the own server knows where it is now.
meet_leader() {
  local line address end=$((SECONDS + 6))
  line=$(leader cluster nodes | sed -n '/ myself,\|,myself/p')
  read -r LEADER_ID address _ <<<"$line"
  [[ $address =~ :([0-9]+)@([0-9]+) ]] || die "$QUORATE_LEADER_HOST is no node of a cluster"
  meet "$QUORATE_LEADER_HOST" "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
  address=$(timeout 2 getent ahostsv4 "$QUORATE_LEADER_HOST" | sed -n '1s/ .*//p')
  until read_bus own && [[ ${BUS[$LEADER_ID]:-} == "$address:"* && ${BUS[$LEADER_ID]} == *' connected'* ]]; do
    ((SECONDS < end)) || die "the leader's node at $QUORATE_LEADER_HOST is not met yet"
    sleep 0.05
  done
}

# find_strangers: by what read_bus has found, STRANGERS are members of which the own server does not know where they are, and GONE the
# ids of nodes that are no members any more.
find_strangers() {
  local peer line id gone='^[^ ]+ [^ ]*fail[, ]'
  local -A wanted=([$NOBODY_ID]=1)
  STRANGERS=() GONE=()
  for peer in ${QUORATE_SHARD_PEERS//,/ }; do
    find_id "${peer%%=*}"
    wanted[$ID]=1
    line=${BUS[$ID]:-}
    if [[ -z $line || $line == *noaddr* || $line == *' disconnected'* ]]; then STRANGERS+=("$peer"); fi
  done
  for id in "${!BUS[@]}"; do
    if [[ -z ${wanted[$id]:-} && ${BUS[$id]} =~ $gone ]]; then GONE+=("$id"); fi
  done
}

# knows_others: whether there is nobody to meet and nobody to forget, by what read_bus has found.
knows_others() {
  find_strangers
  ((${#STRANGERS[@]} + ${#GONE[@]} == 0))
}

# meet_others: one stranger after another; who is gone is forgotten.
meet_others() {
  local peer id host port member_port
  read_bus own
  find_strangers
  for peer in "${STRANGERS[@]}"; do
    find_id "${peer%%=*}"
    IFS=: read -r host port member_port <<<"${peer#*=}"
    (meet "$host" "$port" "$member_port" "${BUS[$ID]:-}") || true # not there yet; asked again at the next look
  done
  for id in "${GONE[@]}"; do own cluster forget "$id" >/dev/null; done
}
