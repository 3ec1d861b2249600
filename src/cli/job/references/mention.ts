/** A place in a file that names an image. */
export type Mention = {
  /** Relative to the searched folder, with slashes. */
  file: string;
  /** From 1. */
  line: number;
  /** What names it: `FROM`, `COPY --from`, `RUN --mount`, `syntax`, `image`, `volume`, `build context`, ... */
  by: string;
} & (
  | {
      reference: string;
      /** The platforms that it is pulled for; absent: the machine's. */
      platforms?: readonly string[];
      /** The services of compose projects that run it, or are built from it. */
      services?: readonly ComposeService[];
      /** The name of the build context through which the Dockerfile means it. */
      context?: string;
    }
  /** Why the image is not known. */
  | { unresolved: string }
  /** What was not checked, and why. It may name images. */
  | { passedOver: string }
);

/** A service, and the first file of its project. */
export type ComposeService = { project: string; name: string };

export type Place = Pick<Mention, "file" | "line" | "by">;

export const unsetVariable = (name: string, hint: string): string => `The variable ${name} has no value. ${hint}`;
