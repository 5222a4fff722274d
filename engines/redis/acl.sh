# Who may log in, and what they may do; sourced after lib.sh. Each server has its own accounts: no copy brings them along.

# The accounts of applications that this member last had, beside its data: lines as in QUORATE_ACCOUNTS_FILE, without passwords. A
# server that starts has them before the agent could say so.
readonly KEPT=$DATA.accounts

# hashed PASSWORD: what the server checks passwords by.
hashed() { printf '%s' "$1" | sha256sum | cut -d' ' -f1; }

# note_former: a password that changed leaves the hash of the former one to those who still use that.
note_former() {
  local hash
  read_taken
  read_secret quorate
  [[ -n $TAKEN && $TAKEN != "$SECRET" ]] || return 0
  hash=$(hashed "$TAKEN")
  printf '%s' "$hash" >"$FORMER.new"
  mv "$FORMER.new" "$FORMER"
}

# is_former_taken: until every member has used the other one for a while, the last one from SPREAD_SECONDS on.
is_former_taken() { [[ -e $FORMER ]] && (($(password_age) < 2 * SPREAD_SECONDS)); }

# logs_in NAME PASSWORD: one that may not do what is asked is in.
logs_in() {
  local answer
  answer=$(REDISCLI_AUTH=$2 timeout 5 redis-cli -h 127.0.0.1 -p "$QUORATE_PORT" --user "$1" ping 2>&1) || true
  [[ $answer == *PONG* || $answer == *NOPERM* ]]
}

# command_own TEXT: of the own server; passwords and what stands for them are on no command line. Connections that are open stay open.
command_own() {
  local answer
  answer=$(own <<<"$1") || die "the server does not answer"
  [[ $answer =~ ^(OK|[0-9]+)$ ]] || die "${answer#ERR }"
}

# rights NAME DATABASE [RULE…]: in the server's words. The account's part of the keys begins with its database's name. Nobody gets what
# is for administration: it shows quorate's own password, and moves or ends the server.
rights() {
  local name=$1 database=$2 limits
  shift 2
  limits=' -@admin +role'
  # Which slots a shard owns is a function library, see slots.sh.
  ! is_shard || limits+=' -function|load -function|delete -function|flush -function|restore'
  if [[ $name == app ]]; then
    printf '~* &* +@all%s' "$limits"
  elif [[ $# == 0 ]]; then
    printf '~%s:* &%s:* +@all -@dangerous +info%s' "$database" "$database" "$limits"
  else
    printf '%s%s' "$*" "$limits"
  fi
}
