# Changes of who may log in; sourced after lib.sh. The whole group has the same accounts.
readonly EPOCH_KEY=quorate/accounts-epoch GIVEN=quorate/accounts/

[[ $QUORATE_EPOCH =~ ^[0-9]+$ ]] || die "QUORATE_EPOCH is no number: $QUORATE_EPOCH"
printf -v epoch '%020d' "$QUORATE_EPOCH"

# tell ARGUMENT…: dies with the server's words.
tell() {
  local answer
  answer=$(ctl "$@" 2>&1 >/dev/null) || die "${answer##*Error: }"
}

# claim: refuses an epoch that is over. Asked before each change: this process may stand still for as long as the machine pleases.
claim() {
  local answer
  answer=$(ctl txn <<<"value(\"$EPOCH_KEY\") > \"$epoch\""$'\n\n\n'"put $EPOCH_KEY $epoch"$'\n\n' 2>&1) || die "${answer##*Error: }"
  case $answer in
    *FAILURE*) ;; # nobody's was later
    *) die "accounts were made in a later epoch, by another leader" ;;
  esac
}

# logs_in NAME PASSWORD: one that may not do what it asks for is in. The password is in the environment, which only this user can read.
logs_in() {
  local answer
  answer=$(ETCDCTL_API=3 ETCDCTL_USER=$1 ETCDCTL_PASSWORD=$2 etcdctl --dial-timeout=2s --command-timeout=5s \
    --endpoints="http://$(plain_host "${QUORATE_LISTEN_HOST:-127.0.0.1}"):$QUORATE_PORT" get "$GIVEN" 2>&1) || [[ $answer == *'permission denied'* ]]
}
