/** An Engine that forms its group itself and breaks a rule of the contract is told which. */
import { describe, expect, it } from "vitest";
import type { HostSoftware } from "../../src/conformance/host-cluster.ts";
import { hasMariadb } from "./host-mariadb.ts";
import { hasRabbitmq } from "./host-rabbitmq.ts";
import { ETCD, GALERA, problemsOf, RABBITMQ, software, withFiles } from "./trial.ts";

type Spec = HostSoftware["spec"];

const etcd = (changes: Parameters<typeof withFiles>[1]): Spec => withFiles("etcd", changes);
const galera = (changes: Parameters<typeof withFiles>[1]): Spec => withFiles("galera", changes);
/** RabbitMQ with another module in its broker. */
const broker = (change: (text: string) => string): Spec => withFiles("rabbitmq", { "quorate_broker.erl": change });
const NOTHING = (): string => "#!/bin/bash\n";
const ANEW = (): string => '#!/bin/bash\nrm -rf "$QUORATE_DATA_DIR"\nexec "$QUORATE_ENGINE_DIR/initialize"\n';

describe("an Engine of topology Consensus that breaks a rule is told", { timeout: 240_000 }, () => {
  const broken: readonly [string, string, string, () => Spec][] = [
    [
      "whose initialize leaves a lock behind",
      "initialize",
      "action initialize failed: locked",
      () =>
        etcd({
          initialize: (text) =>
            text.replace("rm -rf", 'mkdir "$DATA.busy" 2>/dev/null || die locked\nrm -rf') + 'rmdir "$DATA.busy"\n',
        }),
    ],
    [
      "that lets every member say that it leads",
      "roles",
      "observe: writable is true on two members in one term",
      () => etcd({ observe: (text) => text.replace("writable=false", "writable=true") }),
    ],
    [
      "whose term stands still",
      "roles",
      "observe: after a change of leader the term is 4, where it was 4 before",
      () => etcd({ observe: (text) => text.replace('"${STATUS[RaftTerm]}"', "4") }),
    ],
    [
      "whose position stands still",
      "positions",
      "observe: position went from 7 to 7 only",
      () => etcd({ observe: (text) => text.replace('"${STATUS[RaftIndex]}"', "7") }),
    ],
    [
      "whose positions are each member's own",
      "positions",
      "observe: position does not become the same on all members",
      () => etcd({ observe: (text) => text.replace('"${STATUS[ClusterID]}"', '"${STATUS[MemberID]}"') }),
    ],
    [
      "that goes on naming a leader without a majority",
      "majority",
      "a member without a majority goes on saying that somebody leads",
      () =>
        etcd({
          observe: (text) =>
            text.replace(
              "[[ $leader != 0 ]] || leader=''",
              'kept=$QUORATE_RUN_DIR/leader\nif [[ $leader == 0 ]]; then leader=$(<"$kept"); else say "$leader" >"$kept"; fi',
            ),
        }),
    ],
    [
      "that says of a write without a majority that it is done",
      "majority",
      "probeWrite: it succeeds without a majority",
      () => etcd({ "probe-write": (text) => text.replace(/\n$/, " || true\n") }),
    ],
    [
      "that prints another identity than it gave",
      "add",
      "start: orders-b comes up as",
      () => etcd({ "add-member": (text) => text.replace("Member\\ +([0-9a-f]+)\\ added", "cluster\\ +([0-9a-f]+)") }),
    ],
    [
      "that gives a newcomer its vote at once",
      "add",
      "has a vote before promoteMember gave it one",
      () => etcd({ "add-member": (text) => text.replace(" --learner", "") }),
    ],
    [
      "that adds a member again under another address",
      "add",
      "run again, the group lists orders-c 2 times",
      () =>
        etcd({
          start: (text) => text.replace("ARGUMENTS+=(--metrics=extensive)", "ARGUMENTS+=(--max-learners=3)"),
          "add-member": (text) =>
            text
              .replace('"$(member_address "$QUORATE_TARGET_HOST" "$QUORATE_TARGET_PORT")"', '"$address"')
              .replace(
                "answer=",
                'address=$(member_address "$QUORATE_TARGET_HOST" "$QUORATE_TARGET_PORT")\n! ctl member list | grep -q "$address" || address=${address/0.0.1/0.0.2}\nanswer=',
              ),
          observe: (text) => text.replace('$2 != "https://${member#*=}"', "${2##*:} != ${member##*:}"),
        }),
    ],
    [
      "that gives a vote to whom it never saw",
      "add",
      "promoteMember: it succeeds for orders-c, which has never been started",
      () => etcd({ "promote-member": (text) => text.replace('die "${answer##*Error: }"', "true") }),
    ],
    [
      "that takes nobody out",
      "remove",
      "removeMember: it succeeds, and the leader goes on listing",
      () => etcd({ "remove-member": NOTHING }),
    ],
    [
      "that cannot take out who is out",
      "remove",
      "removeMember: run again, for one that is out already, it fails",
      () => etcd({ "remove-member": (text) => text.replace("member not found", "never said") }),
    ],
    [
      "that hands over to nobody",
      "handover",
      "handOver: it returns before orders-",
      () => etcd({ "hand-over": NOTHING }),
    ],
    [
      "that does not stop",
      "stop",
      "does not end within graceSeconds (2) after SIGTERM",
      () => ({
        ...etcd({
          start: (text) => text.replace('exec etcd "${ARGUMENTS[@]}"', "trap '' TERM\netcd \"${ARGUMENTS[@]}\""),
        }),
        stop: { signal: "SIGTERM", graceSeconds: 2 },
      }),
    ],
    [
      "that recovers by beginning anew",
      "recover",
      "recover: in the group that was begun anew",
      () => etcd({ recover: ANEW }),
    ],
    [
      "that cannot recover twice",
      "recover",
      "action recover failed: done already",
      () =>
        etcd({
          recover: (text) =>
            text.replace("lock_data 30", 'lock_data 30\n[[ ! -e $DATA.done ]] || die "done already"\n: >"$DATA.done"'),
        }),
    ],
    [
      "that hands over to defragment",
      "defragment",
      "defragment: orders-",
      () =>
        etcd({
          defragment: (text) =>
            text.replace(
              "CTL_TIMEOUT",
              'other=$(ctl member list | grep -v "$(ctl --hex endpoint status -w fields | sed -n \'s/"MemberID" : //p\')" | head -1)\nctl move-leader "${other%%,*}" &>/dev/null || true\nCTL_TIMEOUT',
            ),
        }),
    ],
    [
      "that shows a password",
      "secrets",
      "a password is on the command line",
      () => etcd({ start: (text) => text.replace("exec etcd", 'exec -a "etcd as root:$(secret root)" etcd') }),
    ],
  ];

  it.each(broken)("%s", async (_, check, problem, spec) => {
    const [found] = await problemsOf(software(ETCD, spec()), "Consensus", check);
    expect(found?.problem).toContain(problem);
  });
});

describe.skipIf(!hasMariadb)(
  "an Engine of topology ActiveActive that breaks a rule is told",
  { timeout: 240_000 },
  () => {
    const broken: readonly [string, string, string, () => Spec][] = [
      [
        "that begins a group whenever it is started",
        "initialize",
        "start: without QUORATE_FOUND=true the engine begins a group by itself",
        () => galera({ start: (text) => text.replace("$QUORATE_FOUND == true", "-n $QUORATE_GROUP") }),
      ],
      [
        "that says of a member without the majority that it writes",
        "majority",
        "observe: a member without the majority goes on saying that it takes writes",
        () =>
          galera({
            observe: (text) => text.replace("leader='' writable=false", "leader=$QUORATE_MEMBER writable=true"),
          }),
      ],
      [
        "that reads the end of a copy from what was written down at its start",
        "crash",
        "it says ",
        () => galera({ inspect: (text) => text.replace('"${FOUND_POSITION##*:}"', "3") }),
      ],
      [
        "whose positions are each member's own",
        "positions",
        "observe: position does not become the same on all members",
        () => galera({ observe: (text) => text.replace('"${STATUS[wsrep_local_state_uuid]}"', '"$QUORATE_MEMBER"') }),
      ],
      [
        "that recovers by beginning anew",
        "recover",
        "recover: in the group that was begun anew",
        () => galera({ recover: ANEW }),
      ],
      [
        "whose term stands still",
        "roles",
        "observe: after a member was killed the term is 4, where it was 4",
        () => galera({ observe: (text) => text.replace('"${STATUS[view]:-0}"', "4") }),
      ],
      [
        "that lets newcomers write before they have everything",
        "join",
        "observe: position does not become the same on all members",
        () =>
          galera({
            observe: (text) =>
              text.replace(
                "[[ $number =~ ^[0-9]+$ ]]",
                "[[ $QUORATE_MEMBER != orders-c ]] || number=1\n[[ $number =~ ^[0-9]+$ ]]",
              ),
          }),
      ],
      [
        "whose reload leaves the member behind the others",
        "reload",
        "takes no writes afterwards",
        () => galera({ reload: (text) => `${text}own_client --execute="SET GLOBAL wsrep_desync = ON"\n` }),
      ],
      [
        "that does not stop",
        "stop",
        "does not end within graceSeconds (2) after SIGTERM",
        () => ({
          ...galera({
            start: (text) =>
              text.replace('exec mariadbd "${ARGUMENTS[@]}"', "trap '' TERM\nmariadbd \"${ARGUMENTS[@]}\""),
          }),
          stop: { signal: "SIGTERM", graceSeconds: 2 },
        }),
      ],
      [
        "that shows a password",
        "secrets",
        "a password is on the command line",
        () =>
          galera({
            start: (text) =>
              text.replace("exec mariadbd", '(exec -a "mariadbd $(secret quorate)" sleep 3) &\nexec mariadbd'),
          }),
      ],
    ];

    it.each(broken)("%s", async (_, check, problem, spec) => {
      const [found] = await problemsOf(software(GALERA, spec()), "ActiveActive", check);
      expect(found?.problem).toContain(problem);
    });
  },
);

describe.skipIf(!hasRabbitmq)("a broker that breaks a rule is told", { timeout: 480_000 }, () => {
  const broken: readonly [string, string, string, (text: string) => string][] = [
    [
      "that lets every member say that it leads",
      "roles",
      "observe: writable is true on two members in one term",
      (text) => text.replace("leads => State =:= leader,", "leads => State =/= undefined,"),
    ],
    [
      "that goes on naming a leader without a majority",
      "majority",
      "a member without a majority goes on saying that somebody leads",
      (text) =>
        text
          .replace('json(Seen#{leader => "", leads => false, whole => false})', "json(Seen)")
          .replace(
            /ets:insert\(\?SEEN, \{seen, Seen\}\),\s+json\(Seen\)/,
            'maps:get(leader, Seen) =:= "" orelse ets:insert(?SEEN, {seen, Seen}),\n            json(element(2, hd(ets:lookup(?SEEN, seen))))',
          ),
    ],
    [
      "that gives a newcomer its vote at once",
      "add",
      "has a vote before promoteMember gave it one",
      (text) => text.replace("{Node, lists:member(Node, Voters)}", "{Node, Voters =/= none}"),
    ],
    [
      "that takes nobody out",
      "remove",
      "removeMember: it succeeds, and the leader goes on listing",
      (text) =>
        text.replace("work({shrink, Node}, fun() -> shrink(Node) end)", 'work({shrink, Node}, fun() -> "" end)'),
    ],
    [
      "that hands over to nobody",
      "handover",
      "handOver: it returns before orders-",
      (text) => text.replace('answer("hand-over", [Id]) -> hand_over(Id);', 'answer("hand-over", [_]) -> "";'),
    ],
  ];

  it.each(broken)("%s", async (_, check, problem, change) => {
    const [found] = await problemsOf(software(RABBITMQ, broker(change)), "Consensus", check);
    expect(found?.problem).toContain(problem);
  });
});
