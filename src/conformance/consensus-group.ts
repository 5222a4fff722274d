/** A group of topology Consensus as its checks make it, change it and look at it. */
import type { EngineView } from "../agent/group/types.ts";
import { demand, demandSoon, GROUP_PATIENCE_MS, insist } from "./check.ts";
import { membersSeenBy } from "./group-checks.ts";
import { describeView, type GroupSeat } from "./host-group.ts";

/** Makes the group: the first member alone, then each of the others as a newcomer that learns and is given its vote. */
export async function formConsensus(seats: readonly GroupSeat[]): Promise<void> {
  const [first, ...others] = seats;
  if (first === undefined) return;
  await first.initialize();
  await first.start([]);
  await first.until(
    ({ leads, serves }) => leads && serves,
    "start: the engine of a new group does not come to lead it",
  );
  for (const other of others) await admit(first, other);
  await untilAgreed(seats);
}

/** Makes the member one of the group that has a vote. */
export async function admit(leader: GroupSeat, newcomer: GroupSeat): Promise<void> {
  await invite(leader, newcomer);
  await bringUp(leader, newcomer);
  await insist(() => leader.engine.change("promoteMember", newcomer.id ?? ""));
}

/** Adds the member without a vote, as often as that fails. */
export async function invite(leader: GroupSeat, newcomer: GroupSeat): Promise<void> {
  await insist(async () => {
    await dismiss(leader, newcomer);
    newcomer.id = await leader.engine.add(newcomer.name);
  });
}

/** Takes out what is left of an earlier try: as for agents, a copy that is lost, or was never begun, does not come back. */
export async function dismiss(leader: GroupSeat, { name }: GroupSeat): Promise<void> {
  for (const member of await membersSeenBy(leader))
    if (member.name === name) await leader.engine.change("removeMember", member.id);
}

/**
 * Starts the newcomer under the identity that it was given, and waits until it serves. When an earlier start was cut short, and its copy
 * given up with it, it is given another identity, as by agents.
 */
export async function bringUp(leader: GroupSeat, newcomer: GroupSeat): Promise<void> {
  let seen: EngineView | undefined;
  await demandSoon(
    async () => {
      seen = await newcomer.look();
      if (seen?.serves === true) return true;
      await startNewcomer(leader, newcomer);
      return false;
    },
    () =>
      `start: ${newcomer.name}, given the identity ${newcomer.id ?? ""}, does not come up: ${describeView(seen)}\n${newcomer.host.logEnd}`,
    GROUP_PATIENCE_MS,
  );
  demand(
    seen?.group.id === newcomer.id,
    `start: ${newcomer.name} comes up as ${seen?.group.id ?? ""}, where addMember printed ${newcomer.id ?? ""}`,
  );
}

/** Starts it unless it runs; never a second copy under an identity under which one was begun and lost. */
export async function startNewcomer(leader: GroupSeat, newcomer: GroupSeat): Promise<void> {
  if (newcomer.host.running) return;
  const isLost = newcomer.startedAs === newcomer.id && (await newcomer.volume.state()) !== "data";
  if (isLost) await invite(leader, newcomer);
  await newcomer.start(await membersSeenBy(leader));
}

/** What each says at the moment. @throws {Finding} when two lead in one term, which can never be. */
async function lookAt(seats: readonly GroupSeat[]): Promise<readonly (EngineView | undefined)[]> {
  const views = await Promise.all(seats.map((seat) => seat.look()));
  const leading = views.flatMap((view, at) =>
    view?.leads === true ? [`${seats[at]?.name ?? ""} in term ${view.group.term}`] : [],
  );
  const terms = new Set(views.flatMap((view) => (view?.leads === true ? [view.group.term] : [])));
  demand(terms.size === leading.length, `observe: writable is true on two members in one term: ${leading.join(", ")}`);
  return views;
}

/** The member that leads in the highest term. @throws {Finding} when nobody does for long. */
export async function leaderOf(seats: readonly GroupSeat[]): Promise<GroupSeat> {
  let found: GroupSeat | undefined;
  await demandSoon(
    async () => {
      const views = await lookAt(seats);
      const terms = views.map((view) => (view?.leads === true ? view.group.term : -1));
      const latest = Math.max(...terms);
      found = latest < 0 ? undefined : seats[terms.indexOf(latest)];
      return found !== undefined;
    },
    `observe: writable does not become true on any of ${seats.map(({ name }) => name).join(", ")}`,
    GROUP_PATIENCE_MS,
  );
  demand(found !== undefined, "observe: nobody leads");
  return found;
}

/** Waits until these, and nobody else, are the group, all say so, and one of them leads. @returns who leads, and in which term. */
export async function untilAgreed(
  seats: readonly GroupSeat[],
): Promise<{ readonly leader: GroupSeat; readonly term: number }> {
  let said = "";
  await demandSoon(
    async () => {
      const views = await lookAt(seats);
      said = views.map((view, at) => `${seats[at]?.name ?? ""}: ${describeView(view)}`).join("\n  ");
      const names = seats
        .map(({ name }) => name)
        .toSorted()
        .join();
      const lists = new Set(
        views.map((view) => JSON.stringify(view?.group.members.map(({ id, votes }) => [id, votes]).toSorted())),
      );
      const leading = views.filter((view) => view?.leads === true);
      return (
        lists.size === 1 &&
        leading.length === 1 &&
        new Set(views.map((view) => view?.group.id)).size === seats.length &&
        views.every(
          (view) =>
            view?.group.leaderId === leading[0]?.group.id &&
            view?.group.members.every(({ votes }) => votes) === true &&
            view.group.members
              .map(({ name }) => name)
              .toSorted()
              .join() === names,
        )
      );
    },
    () => `observe: the members do not come to say the same of their group, with one leader in it:\n  ${said}`,
    GROUP_PATIENCE_MS,
  );
  const leader = await leaderOf(seats);
  return { leader, term: (await leader.engine.observe()).view.group.term };
}
