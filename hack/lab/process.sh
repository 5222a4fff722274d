# shellcheck shell=bash
# Daemons of the lab: started in cgroups of their own, found again by pid and start time, ended with all their children.

# One folder per hierarchy: the controllers of cgroup v1, or the single one of v2.
cgroup_hierarchies() {
  if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    echo /sys/fs/cgroup
  else
    find /sys/fs/cgroup -mindepth 1 -maxdepth 1 -type d ! -name unified
  fi
}

# The hierarchy in which the lab counts its processes.
process_hierarchy() {
  if [ -f /sys/fs/cgroup/cgroup.controllers ]; then echo /sys/fs/cgroup; else echo /sys/fs/cgroup/pids; fi
}

make_cgroup() { # PATH below the lab's, "" for the lab's own
  local hierarchy folder path
  while read -r hierarchy; do
    folder=$hierarchy
    for path in "$CGROUP" ${1//\// }; do
      if [ -f "$folder/cgroup.subtree_control" ]; then
        sed 's/[^ ]*/+&/g' "$folder/cgroup.controllers" >"$folder/cgroup.subtree_control" 2>/dev/null || true
      fi
      mkdir -p "$folder/$path"
      # A new cpuset is empty, and no process may enter it so.
      if [ "${hierarchy##*/}" = cpuset ]; then
        cat "$folder/cpuset.cpus" >"$folder/$path/cpuset.cpus"
        cat "$folder/cpuset.mems" >"$folder/$path/cpuset.mems"
      fi
      folder=$folder/$path
    done
  done < <(cgroup_hierarchies)
}

cgroup_pids() { # PATH below the lab's: processes in it and below
  local folder
  folder=$(process_hierarchy)/$CGROUP/$1
  [ -d "$folder" ] || return 0
  find "$folder" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -un || true
}

start_time() { # PID: in clock ticks since boot; tells a process from a later one with the same pid
  local stat
  read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
  # shellcheck disable=SC2086 # words wanted
  set -- ${stat##*) }
  printf '%s' "${20}"
}

# Starts COMMAND in the cgroup daemons/GROUP, in the network of NETNS ("" for the host's), and keeps its pid.
spawn() { # NAME GROUP NETNS COMMAND...
  local name=$1 group=$2 netns=$3 hierarchy pid
  shift 3
  make_cgroup "daemons/$group"
  mkdir -p "$STATE/pids" "$STATE/log"
  (
    if [ -n "${LOCK_FD:-}" ]; then exec {LOCK_FD}>&-; fi
    while read -r hierarchy; do
      echo "$BASHPID" >"$hierarchy/$CGROUP/daemons/$group/cgroup.procs"
    done < <(cgroup_hierarchies)
    cd /
    # `ip netns exec` would mount a new /sys without the cgroups.
    if [ -n "$netns" ]; then set -- nsenter --net="/run/netns/$netns" "$@"; fi
    # One collection of the API server takes most of two cores for a third of a second, and whatever is measured meanwhile waits:
    # the lab's programs get memory instead. On a real cluster they have a machine of their own.
    export GOGC=400
    exec setsid "$@" </dev/null >>"$STATE/log/$name.log" 2>&1
  ) &
  pid=$!
  disown "$pid"
  printf '%s %s\n' "$pid" "$(start_time "$pid")" >"$STATE/pids/$name"
}

pid_of() { # NAME: prints the pid; fails when it does not live
  local pid began state
  read -r pid began 2>/dev/null <"$STATE/pids/$1" || return 1
  [ "$(start_time "$pid")" = "$began" ] || return 1
  state=$(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$pid/status" 2>/dev/null)
  [ "$state" != Z ] || return 1
  printf '%s' "$pid"
}

end_process() { # NAME: SIGKILL, and wait until it is gone
  local pid
  if pid=$(pid_of "$1"); then
    kill -KILL "$pid" 2>/dev/null || true
    while pid_of "$1" >/dev/null; do sleep 0.02; done
  fi
  rm -f "$STATE/pids/$1"
}

# SIGKILL to everything in a cgroup and below, again until nothing is left: a forking process can slip through once.
end_cgroup() { # PATH below the lab's
  local pids round
  for round in {1..100}; do
    pids=$(cgroup_pids "$1")
    [ -n "$pids" ] || return 0
    # shellcheck disable=SC2086 # one word per pid
    kill -KILL $pids 2>/dev/null || true
    [ "$round" -eq 1 ] || sleep 0.05
  done
  die "processes that cannot be ended: $(echo "$pids" | tr '\n' ' ')"
}

# Also from the hierarchies that only the runtime uses. A cgroup is busy for a moment after its last process.
remove_cgroups() {
  local parent folder
  for parent in /sys/fs/cgroup/"$CGROUP" /sys/fs/cgroup/*/"$CGROUP"; do
    [ -d "$parent" ] || continue
    find "$parent" -depth -type d | while read -r folder; do
      rmdir "$folder" 2>/dev/null || { sleep 0.2 && rmdir "$folder"; } || true
    done
  done
}
