import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { z } from "zod";
import { parseImageReference } from "../../../../../src/broker/references/image-reference.js";
import { checkCommand } from "../../../../../src/cli/job/references/check-command.js";
import { findMentions } from "../../../../../src/cli/job/references/find-mentions.js";

const root = fileURLToPath(new URL("../../../../fixtures/references", import.meta.url));
const Expected = z.object({
  command: z.array(z.string()),
  images: z.array(z.string()),
  passedOver: z.array(z.string()).default([]),
});

const full = (reference: string): string => JSON.stringify(parseImageReference(reference));

test.each(readdirSync(root))("%s: lists what a build and a run pull, and nothing else", async (name) => {
  const directory = join(root, name);
  const expected = Expected.parse(JSON.parse(readFileSync(join(directory, "expected.json"), "utf8")));
  const flags = checkCommand().parse(expected.command, { from: "user" }).opts();
  const tree = {
    directory,
    buildArgs: new Map<string, string>(),
    platforms: flags.platform ?? [],
    variables: () => undefined,
    profiles: flags.profile,
    target: flags.target,
  };
  const { mentions } = await findMentions(tree);
  const listed = mentions.flatMap((mention) => ("reference" in mention ? [full(mention.reference)] : []));
  expect([...new Set(listed)].toSorted()).toEqual(expected.images.map(full).toSorted());
  const unread = mentions.filter((mention) => !("reference" in mention));
  if (expected.passedOver.length === 0) expect(unread).toEqual([]);
  else expect(unread.every((mention) => "passedOver" in mention)).toBe(true);
});
