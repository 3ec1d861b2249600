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
    }
  /** Why the image is not known. */
  | { unresolved: string }
  /** What was not checked, and why. It may name images. */
  | { passedOver: string }
);

export type Place = Pick<Mention, "file" | "line" | "by">;

export const unsetVariable = (name: string, hint: string): string => `The variable ${name} has no value. ${hint}`;
