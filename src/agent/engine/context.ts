/** The context variables that engine actions see; see the Engine contract. */

/** Variable names without the QUORATE_ prefix are never used: what stands here is what an action sees. */
export type ActionContext = Readonly<Record<`QUORATE_${string}`, string>>;

const SAFE = /^[A-Za-z0-9._:,/@-]*$/;

/**
 * Replaces $(NAME) by context values, as Kubernetes does in argv.
 *
 * @throws {Error} for an unknown name, or, with `forStatement`, for a value that could end a literal: an engine's
 *   statements are text to an interpreter, so only values without quotes, spaces or control characters pass.
 */
export function expand(template: string, context: ActionContext, forStatement: boolean): string {
  return template.replaceAll(/\$\(([A-Z_]+)\)/g, (_, name: string) => {
    const value = context[name as keyof ActionContext];
    if (value === undefined) throw new Error(`unknown context variable ${name}`);
    if (forStatement && !SAFE.test(value))
      throw new Error(`context variable ${name} holds characters that a statement may not`);
    return value;
  });
}
