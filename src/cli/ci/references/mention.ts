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
      /** The services of compose projects that run it, or are built from it. */
      services?: readonly ComposeService[];
      /** The name of the build context through which the Dockerfile means it. */
      context?: string;
    }
  /** Why it cannot be told which image is meant. */
  | { unresolved: string }
  /** What was not looked at, and why: images may be named there. */
  | { passedOver: string }
);

/** A service, and the first file of its project. */
export type ComposeService = { project: string; name: string };

export type Place = Pick<Mention, "file" | "line" | "by">;

export const unsetVariable = (name: string, way: string): string => `The variable ${name} has no value here. ${way}`;
