/** The peer of MariaDB Galera under the operator: the same under a StatefulSet, with Galera's own recovery of the group. */
import { until } from "../../hack/scenario/shell.ts";
import type { LeaderPod } from "../../hack/scenario/subject.ts";
import { startSqlClients } from "../counting-clients.ts";
import type { Contender } from "./contender.ts";
import { plainContender } from "./plain-contender.ts";
import { engineDefaults, PASSWORD, PlainSet } from "./plain-set.ts";

const NAME = "galera";
const PORT = 3306;
const MEMBERS = 3;
const MOST_MEMBERS = 5;

/**
 * The first pod makes the data set and begins the group, once; whoever starts later joins. What was lost in a crash is found out before
 * (`--wsrep-recover`), as the distribution's own unit does; when all have crashed, Galera's `pc.recovery` brings the group back by itself.
 */
function serverScript(domain: string, settings: readonly string[], providerOptions: string): string {
  const others = Array.from({ length: MOST_MEMBERS }, (_, at) => `${NAME}-${at}.${domain}`).join(" ");
  return `#!/bin/bash
set -eu
data=/data/mysql
own=$HOSTNAME.${domain}
begin=''
mkdir -p /data/tmp
if [ ! -e /data/made ] && [ "$HOSTNAME" = ${NAME}-0 ]; then
  rm -rf $data
  mkdir $data
  mariadb-install-db --no-defaults --datadir=$data --auth-root-authentication-method=normal --skip-test-db --skip-name-resolve >/dev/null
  mariadbd --no-defaults --datadir=$data --bootstrap <<SQL
DELETE FROM mysql.global_priv WHERE User NOT IN ('mariadb.sys', 'PUBLIC');
FLUSH PRIVILEGES;
CREATE USER transfer@localhost IDENTIFIED BY '${PASSWORD}';
GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR, REPLICA MONITOR ON *.* TO transfer@localhost;
CREATE DATABASE app;
CREATE USER app@'%' IDENTIFIED BY '${PASSWORD}';
GRANT ALL PRIVILEGES ON app.* TO app@'%';
SQL
  touch /data/made
  begin=--wsrep-new-cluster
fi
mkdir -p $data
addresses=''
if [ -z "$begin" ]; then
  # A name that nobody has makes the server give up.
  until [ -n "$addresses" ]; do
    for name in ${others}; do
      [ "$name" = "$own" ] || ! getent hosts "$name" >/dev/null || addresses+=\${addresses:+,}$name
    done
    [ -n "$addresses" ] || sleep 0.5
  done
fi
cat >/data/server.cnf <<CONF
[mysqld]
datadir=$data
tmpdir=/data/tmp
socket=/tmp/server.sock
pid-file=/tmp/server.pid
port=${PORT}
bind-address=0.0.0.0
skip-name-resolve
default-storage-engine=InnoDB
binlog-format=ROW
innodb-autoinc-lock-mode=2
innodb-buffer-pool-size=128M
${settings.join("\n")}
wsrep-on=ON
wsrep-provider=/usr/lib/galera/libgalera_smm.so
wsrep-cluster-name=bench
wsrep-cluster-address=gcomm://$addresses
wsrep-node-name=$HOSTNAME
wsrep-node-address=$own
wsrep-sst-method=mariabackup
wsrep-sst-auth=transfer:${PASSWORD}
wsrep-provider-options="${providerOptions}"
CONF
position=''
if [ -z "$begin" ] && grep -q '^seqno: *-1' $data/grastate.dat 2>/dev/null && [ -d $data/mysql ]; then
  mariadbd --defaults-file=/data/server.cnf --wsrep-recover --log-error=/data/recovery.log >/dev/null 2>&1 || true
  position=$(sed -n 's/.*WSREP: Recovered position: *//p' /data/recovery.log | tail -n 1)
  rm -f /data/recovery.log
fi
exec mariadbd --defaults-file=/data/server.cnf $begin \${position:+--wsrep-start-position="$position"}
`;
}

const READY = `#!/bin/bash
export MYSQL_PWD=${PASSWORD}
mariadb --no-defaults --host=127.0.0.1 --port=${PORT} --protocol=tcp --user=app --batch --skip-column-names --connect-timeout=2 \\
  --execute="SHOW STATUS WHERE variable_name IN ('wsrep_ready', 'wsrep_cluster_size')"
`;
const PROBE = `#!/bin/bash
/files/status | grep -q 'wsrep_ready.*ON'
`;

/** The same timings as ours: those that Galera comes with. */
export async function galeraContender(name: string, namespace: string): Promise<Contender> {
  const domain = `${NAME}.${namespace}.svc.cluster.local`;
  const defaults = Object.entries(await engineDefaults("galera"));
  // Names with a dot are the provider's.
  const settings = defaults.filter(([key]) => !key.includes(".")).map(([key, value]) => `${key}=${value}`);
  const options = defaults.filter(([key]) => key.includes(".")).map(([key, value]) => `${key}=${value}`);
  const set = new PlainSet({
    namespace,
    name: NAME,
    image: "localhost/galera:10.11",
    replicas: MEMBERS,
    port: PORT,
    containers: [
      {
        name: "server",
        command: ["/files/server"],
        resources: { requests: { cpu: "250m", memory: "256Mi" } },
        readinessProbe: { exec: { command: ["/files/probe"] }, periodSeconds: 3, timeoutSeconds: 3 },
      },
    ],
    files: { server: serverScript(domain, settings, options.join(";")), status: READY, probe: PROBE },
  });
  /** Members are all alike: the one in the middle, which neither began the group nor came last. */
  const leader = (): Promise<LeaderPod> => until("a member", 30_000, () => set.pod(`${NAME}-1`));
  return plainContender(name, namespace, {
    set,
    leader,
    wholeness: "all members to be in the group",
    isWhole: async () => {
      const size = /wsrep_cluster_size\s+(\d+)/.exec(await set.execAnywhere("/files/status"))?.[1];
      return Number(size) === set.replicas ? true : undefined;
    },
    formMs: 120_000,
    isEngine: ({ command }) => command.startsWith("mariadbd "),
    startClient: () => startSqlClients(set.pods, PASSWORD),
    isElastic: true,
  });
}
