/**
 * The agent as the image's snapshot holds it: all that `agent run` loads, and nothing of it begun. quorate-init starts it with the same
 * words as the program beside it, in pods whose agent is their image's.
 */
import { startupSnapshot } from "node:v8";

async function prepare(): Promise<void> {
  await import("./agent/schemas-as-written.ts");
  const { runAgent } = await import("./agent/run.ts");
  await import("./agent/member.ts");
  await import("./agent/group/member.ts");
  startupSnapshot.setDeserializeMainFunction(() => void runAgent());
}

// Every process gets its own when it begins. The maker's would make each snapshot another file.
startupSnapshot.addSerializeCallback(() => {
  process.argv = [];
  for (const name of ["argv0", "execPath", "pid"]) Reflect.deleteProperty(process, name);
});
void prepare();
