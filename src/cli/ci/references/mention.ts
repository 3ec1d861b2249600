/** A place in a file that names an image. */
export type Mention = {
  /** Relative to the folder that was looked through, with slashes. */
  file: string;
  /** From 1. */
  line: number;
  /** What names it: `FROM`, `COPY --from`, `RUN --mount`, `syntax`, `image`, `build context`. */
  by: string;
} & (
  | { reference: string }
  /** Why it cannot be told which image is meant. */
  | { unresolved: string }
);

export const unsetVariable = (name: string, way: string): string => `The variable ${name} has no value here. ${way}`;
