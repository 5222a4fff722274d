# Who may log in, and what they may do; sourced after lib.sh. Each server has its own accounts: no copy brings them along.

# The accounts of applications that this member last had, beside its data: lines as in QUORATE_ACCOUNTS_FILE, without passwords. A
# server that starts has them before the agent could say so.
readonly KEPT=$DATA.accounts

# hashed PASSWORD: what the server checks passwords by.
hashed() { printf '%s' "$1" | sha256sum | cut -d' ' -f1; }

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
