import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type KeyEncryptionKey, KeyUnavailable } from "../crypto/key-encryption-key.js";
import type { KeyRing } from "../crypto/key-ring.js";
import { configuredKeys, type KeySource, openKeyRing } from "../crypto/open-key-ring.js";

import { parseKey, readKeyFileIfPresent } from "../crypto/read-key.js";
import type { PrismaClient } from "../db/database.js";
import { parseAddressRanges } from "../outbound/addresses.js";
import { createOutbound } from "../outbound/outbound.js";
import type { Settings } from "../settings/settings.js";

/** Where the first key-encryption key is: in a setting, or in the data directory of an embedded installation. */
export function keySource(settings: Pick<Settings, "key">, dataDirectory: string | undefined): KeySource {
  if (settings.key !== undefined || dataDirectory === undefined) return { kind: "setting", text: settings.key };
  return { kind: "file", path: join(dataDirectory, "key-encryption-key") };
}

/**
 * The ring of all keys that the settings name.
 * @throws KeyFormatError, KeyUnavailable as `openKeyRing`
 */
export async function openKeys(
  prisma: PrismaClient,
  settings: Pick<Settings, "key" | "keys" | "transitToken" | "outbound">,
  dataDirectory: string | undefined,
): Promise<KeyRing> {
  return openKeyRing(prisma, keySource(settings, dataDirectory), await furtherKeys(settings));
}

/**
 * The keys that the settings name, for a database that is not there yet or of another release. None is made.
 * @throws KeyFormatError
 */
export async function heldKeys(
  settings: Parameters<typeof openKeys>[1],
  dataDirectory: string | undefined,
): Promise<KeyEncryptionKey[]> {
  const source = keySource(settings, dataDirectory);
  const further = await furtherKeys(settings);
  if (source.kind === "setting" && source.text === undefined) return further;
  const first =
    source.kind === "file"
      ? await readKeyFileIfPresent(source.path)
      : parseKey("env:FACTORY_SECRETS_KEY", "FACTORY_SECRETS_KEY", source.text ?? "");
  return [...(first ? [first] : []), ...further];
}

async function furtherKeys({
  keys,
  transitToken,
  outbound,
}: Parameters<typeof openKeys>[1]): Promise<KeyEncryptionKey[]> {
  return keys.length === 0 ? [] : configuredKeys(keys, { outbound: createKeyOutbound(outbound), transitToken });
}

const firstRetryMs = 1_000;
const lastRetryMs = 30_000;

/**
 * `openKeys`, again and again while the active key does not answer: a replica that starts while a KMS is down comes up
 * with it.
 * @throws KeyFormatError; KeyUnavailable when it is asked to stop in the meantime
 */
export async function openKeysPatiently(
  prisma: PrismaClient,
  settings: Parameters<typeof openKeys>[1],
  dataDirectory: string | undefined,
  { say, stopping }: { say: (sentence: string) => void; stopping: AbortSignal },
): Promise<KeyRing> {
  for (let waitMs = firstRetryMs; ; waitMs = Math.min(2 * waitMs, lastRetryMs)) {
    try {
      return await openKeys(prisma, settings, dataDirectory);
    } catch (error) {
      if (!(error instanceof KeyUnavailable) || stopping.aborted) throw error;
      say(`${error.message} Nothing opens without this key. Trying again in ${waitMs / 1_000} s.`);
      await sleep(waitMs, undefined, { signal: stopping }).catch(() => undefined);
      if (stopping.aborted) throw error;
    }
  }
}

/** The files that keys of the ring were read from. */
export function keyFiles(keys: KeyRing): string[] {
  return keys.keys.flatMap(({ source }) => (source.startsWith("file:") ? [source.slice("file:".length)] : []));
}

/**
 * Calls to keys go through a dialer of their own. The operator names their hosts, so they may have private addresses
 * without opening those to what tenants name, and no tenant's failing host pauses them.
 */
function createKeyOutbound(settings: Settings["outbound"]) {
  const { ranges } = parseAddressRanges("0.0.0.0/0,::/0");
  // Everything waits for a key: once it answers again, no long pause is in between.
  const circuit = { failureLimit: 5, pauseMs: 1_000, maxPauseMs: 5_000 };
  return createOutbound({ ...settings, allowAddresses: ranges, circuit });
}
