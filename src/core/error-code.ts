/** The `code` of a system or Postgres error (`ENOENT`, `28P01`), `undefined` when it has none. */
export function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file or folder",
  ENOTDIR: "a part of the path is a file, not a folder",
  EISDIR: "it is a folder",
  EEXIST: "there is one already",
  EACCES: "this user has no permission",
  EPERM: "this user has no permission",
  EROFS: "the file system is read-only",
  ENOSPC: "the disk is full",
  EDQUOT: "this user's quota is used up",
  EFBIG: "the file would be larger than the system allows",
  EIO: "the disk reports an error",
  EMFILE: "too many files are open",
  ENFILE: "too many files are open",
  ELOOP: "symbolic links lead in a circle",
  ENAMETOOLONG: "the name is too long",
  EBUSY: "it is in use",
  ENOEXEC: "it is not a program for this system",
  EPIPE: "its reader is gone",
};

/** What a person is told of an error of the system, such as `the disk is full`. */
export function systemReason(error: unknown): string {
  const code = errorCode(error);
  if (code === undefined) return "the system gives no reason";
  return reasons[code] ?? `the system reports ${code}`;
}
