/** The commands that need the server's own settings, by the first words of each: the packed program has none of them. */
export const onlyInClone: readonly (readonly string[])[] = [
  ...["rotate-key", "prune"].map((name) => ["audit", name]),
  ["operator-token"],
  ["signing-keys"],
  ["keys"],
  ["backup"],
  ["restore"],
];

/** What to tell whoever types one of them on another machine; `undefined` for any other command. */
export function clonePointer(argv: readonly string[]): string | undefined {
  const words = onlyInClone.find((one) => one.every((word, index) => argv[index] === word));
  if (words === undefined) return undefined;
  const command = words.join(" ");
  return `factory-secrets ${command} needs the server's own settings, so this program does not have it. On the server's machine, in its clone: npx factory-secrets ${command}`;
}
