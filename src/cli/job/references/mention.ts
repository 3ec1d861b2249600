/** A place in a file that names an image, or where it cannot be told which one. */
export type Mention = {
  /** Relative to the folder that was looked through, with slashes. */
  file: string;
  /** From 1. */
  line: number;
  /** What names it: `FROM`, `COPY --from`, `RUN --mount`, `syntax`, `image`, `volume`, `build context`, ... */
  by: string;
} & (
  | {
      reference: string;
      /** Those that it is pulled for; absent where that is the machine's own. */
      platforms?: readonly string[];
    }
  /** Why it cannot be told which image is meant. */
  | { unresolved: string }
  /** What was not looked at, and why: images may be named there. */
  | { passedOver: string }
);

export type Place = Pick<Mention, "file" | "line" | "by">;

export const unsetVariable = (name: string, way: string): string => `The variable ${name} has no value here. ${way}`;
