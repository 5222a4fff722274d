// Telling how long work goes: every new word stays, and below it, where somebody looks at a terminal, one line follows the time.
import cliTruncate from "cli-truncate";
import { createLogUpdate } from "log-update";

/** Where it is told. */
export interface LiveLine {
  /**
   * Tells how it stands.
   *
   * @param word - What happens; printed when it is another one than before.
   * @param progress - How far it is by now; drawn on a terminal only, over the last one.
   */
  tell(word: string, progress: string): void;
  /** Takes the line of progress away: what is printed next stands where it stood. */
  end(): void;
}

/** As much of a stream as is needed. */
type Output = NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };

const DEFAULT_COLUMNS = 80;

/** Begins to tell. @param timed - What a new word is printed as, for which the time may matter. */
export function openLiveLine(output: Output, timed: (word: string) => string = (word) => word): LiveLine {
  const draw = output.isTTY === true ? createLogUpdate(output) : undefined;
  let said: string | undefined;
  return {
    tell: (word, progress) => {
      if (word !== said) {
        draw?.clear();
        output.write(`${timed(word)}\n`);
      }
      said = word;
      draw?.(cliTruncate(progress, output.columns ?? DEFAULT_COLUMNS));
    },
    end: () => {
      draw?.clear();
      draw?.done(); // shows the cursor again
    },
  };
}
