# Looks for damage in this member's copy; sourced after lib.sh. Fills DAMAGE with a sentence part for each, INDEXES with lines
# `DATABASE<TAB>INDEX` of those that can be built anew, OTHERS with the number of what cannot, and CHECKED.

own_db() { "$PGBIN/psql" -X -q -A -t -w -v ON_ERROR_STOP=1 -F $'\t' -h "$QUORATE_RUN_DIR" -p "$QUORATE_PORT" -U postgres -d "$1" "${@:2}"; }

# A page that was read wrongly is told once; the names of others are in the server's log.
readonly PAGES=$QUORATE_RUN_DIR/verify.log
readonly MAX_RATE=64M

# check_pages: every page of every file, read from the disk as a copy would be and slowly, against its checksum.
check_pages() {
  local file database name kind
  if "$PGBIN/pg_basebackup" --dbname="host=127.0.0.1 port=$QUORATE_PORT user=quorate passfile=$PASSFILE application_name=quorate-verify connect_timeout=5" \
    --format=tar --pgdata=- --wal-method=none --no-manifest --no-password --checkpoint=fast --max-rate="$MAX_RATE" 2>"$PAGES" >/dev/null; then return 0; fi
  # It says so once it has read everything.
  grep -q 'checksum error occurred' "$PAGES" || die "not every page could be read: $(tail -1 "$PAGES")"
  while IFS= read -r file; do
    database=$(own -c "SELECT datname FROM pg_database WHERE oid = '$(cut -d/ -f3 <<<"$file")'::oid")
    IFS=$'\t' read -r name kind < <(own_db "${database:-postgres}" -c "SELECT oid::regclass, relkind FROM pg_class
      WHERE oid = pg_filenode_relation(0, substring('$file' FROM '([0-9]+)[^/]*$')::oid)") || true
    DAMAGE+=("a page of ${name:-file $file} in database ${database:-(all)} has a wrong checksum")
    if [[ ${kind:-} == i ]]; then INDEXES+=("$database"$'\t'"$name"); else OTHERS=$((OTHERS + 1)); fi
  done < <(sed -nE 's/.*checksum verification fail.*file "\.?\/?(base\/[^"]*|global\/[^"]*)".*/.\/\1/p' "$PAGES" | sort -u | grep -F ./base/)
  if grep -q 'global/' "$PAGES"; then
    DAMAGE+=("a page of a table of all databases has a wrong checksum") OTHERS=$((OTHERS + 1))
  fi
}

# check_indexes DATABASE: whether each index is in order and has every row of its table, where the functions for it are there. Each is looked
# at in a transaction of its own. On a follower a look that holds up the replay is ended by the server, and begun anew.
check_indexes() {
  local line name='' try oids='' again
  for ((try = 0; try < 4; try++)); do
    again=''
    while IFS= read -r line; do
      case $line in
        'index '*) name=${line#index } COUNT=$((COUNT + 1)) ;;
        *'ERROR:  canceling statement'*) again+=${again:+,}${name%% *} COUNT=$((COUNT - 1)) ;;
        *'ERROR:  could not open relation'*) COUNT=$((COUNT - 1)) ;; # dropped meanwhile
        *'ERROR:  '*)
          DAMAGE+=("index ${name#* } in database $1: ${line#*ERROR:  }")
          INDEXES+=("$1"$'\t'"${name#* }")
          ;;
      esac
    done < <(own_db "$1" -v ON_ERROR_STOP=0 -v oids="$oids" -v found="$SCHEMA" 2>&1 <<'SQL'
SET lock_timeout = '3s';
SELECT format('SELECT %L', 'index ' || c.oid || ' ' || c.oid::regclass), format('SELECT %s.bt_index_check(%s::regclass, true)', :'found', c.oid)
FROM pg_class AS c JOIN pg_am AS a ON a.oid = c.relam JOIN pg_index AS i ON i.indexrelid = c.oid
WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relpersistence = 'p' AND i.indisready AND i.indisvalid
  AND (:'oids' = '' OR c.oid = ANY (string_to_array(:'oids', ',')::oid[]))
ORDER BY c.oid
\gexec
SQL
    )
    [[ -n $again ]] || return 0
    oids=$again
    sleep "$try"
  done
}

# look_for_damage
look_for_damage() {
  local database
  local -a databases
  DAMAGE=() INDEXES=() OTHERS=0 COUNT=0
  FOLLOWS=$(own -c 'SELECT pg_is_in_recovery()')
  check_pages
  mapfile -t databases < <(own -c 'SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1')
  for database in "${databases[@]}"; do
    # What looks into indexes comes with the server. A follower has it once the leader was verified.
    [[ $FOLLOWS == t || ! -e /usr/share/postgresql/15/extension/amcheck.control ]] ||
      own_db "$database" -c "SET client_min_messages = error; SET synchronous_commit = local; CREATE SCHEMA IF NOT EXISTS quorate; CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA quorate"
    SCHEMA=$(own_db "$database" -c "SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'amcheck'")
    [[ -z $SCHEMA ]] || check_indexes "$database"
  done
  CHECKED="the checksums of all pages, and $COUNT indexes of ${#databases[@]} databases"
  ((COUNT > 0)) || CHECKED="the checksums of all pages; no index, because extension amcheck is not there: verify the leader first"
}

own() { own_db postgres "$@"; }
