# Changes of who may log in; sourced after lib.sh. All members have the same accounts: they are in the data.

# Passwords reach the server as the hashes that it keeps: statements may be logged.
hash_of() { # PASSWORD
  local once
  once=$(printf '%s' "$1" | sha1sum | cut -c1-40)
  # shellcheck disable=SC2059
  printf '*%s' "$(printf "$(sed 's/../\\x&/g' <<<"$once")" | sha1sum | cut -c1-40 | tr a-f A-F)"
}

logs_in() { # NAME DATABASE PASSWORD
  mariadb --defaults-file=<(printf '[client]\nuser=%s\npassword="%s"\nhost=%s\nport=%s\nprotocol=TCP\nssl-ca=%s\n' \
    "$1" "$3" "${QUORATE_LISTEN_HOST:-127.0.0.1}" "$QUORATE_PORT" "$QUORATE_PEER_DIR/ca.crt") \
    --batch --connect-timeout=5 --execute='DO 0' "$2" &>/dev/null
}

# Sees what any member acknowledged before.
ask() { own_client --init-command='SET SESSION wsrep_sync_wait = 1' "$@"; }

# Where the latest epoch stands in which accounts were made.
make_office() {
  local answer
  answer=$(ask 2>&1 <<'SQL'
CREATE TABLE IF NOT EXISTS quorate.office (id TINYINT PRIMARY KEY, history CHAR(36) NOT NULL, epoch BIGINT NOT NULL) ENGINE=InnoDB;
SQL
  ) || die "the server does not answer: $answer"
}

# change STATEMENTS: as long as nobody did so in a later epoch of this history. The server itself looks, right before it acts: this
# process may stand still for as long as the machine pleases.
change() {
  local answer
  answer=$(ask 2>&1 <<SQL
DELIMITER //
BEGIN NOT ATOMIC
  DECLARE latest BIGINT;
  SELECT MAX(epoch) INTO latest FROM quorate.office WHERE history = (SELECT cluster_uuid FROM mysql.wsrep_cluster);
  IF latest > $QUORATE_EPOCH THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'accounts were made in a later epoch, by another leader';
  END IF;
  REPLACE INTO quorate.office SELECT 1, cluster_uuid, $QUORATE_EPOCH FROM mysql.wsrep_cluster;
  $1
END//
SQL
  ) || die "$(sed -n '/ERROR/{s/^ERROR [0-9]* ([0-9A-Z]*) at line [0-9]*: //p;q}' <<<"$answer")"
}

[[ $QUORATE_EPOCH =~ ^[0-9]+$ ]] || die "QUORATE_EPOCH is no number: $QUORATE_EPOCH"
