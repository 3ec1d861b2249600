import type { PrismaClient } from "../db/database.js";
import type { Outbound } from "../outbound/outbound.js";
import { type KeyEncryptionKey, KeyUnavailable } from "./key-encryption-key.js";
import { KeyRing } from "./key-ring.js";
import type { KeyUri } from "./key-uri.js";
import { KeyFormatError, parseKey, readKeyFile, readKeyFileIfPresent, readOrCreateKeyFile } from "./read-key.js";
import { awsKmsKey } from "./sources/aws-kms.js";
import { type TransitToken, transitKey } from "./sources/transit.js";

/** Where the first key comes from: the setting, or a file that an embedded installation makes for itself. */
export type KeySource = { kind: "setting"; text: string | undefined } | { kind: "file"; path: string };

/**
 * Finds the key-encryption keys and checks that they are those this database was sealed with. On an empty database the
 * first of them becomes the active one.
 * @param further - keys of FACTORY_SECRETS_KEYS, beside the one of `source`
 * @throws KeyFormatError with a sentence that names the key id that was expected
 * @throws KeyUnavailable when the active key does not answer: try again
 */
export async function openKeyRing(
  prisma: PrismaClient,
  source: KeySource,
  further: readonly KeyEncryptionKey[] = [],
): Promise<KeyRing> {
  const before = (await readKnownKeys(prisma)).filter(isInUse);
  const keys = onceEach([...(await readFirstKey(source, before, further.length)), ...further]);
  const [first] = keys;
  if (first && before.length === 0) await recordFirstKey(prisma, first, await first.createCheckValue());
  const known = (await readKnownKeys(prisma)).filter(isInUse);
  const active = known.find(({ state }) => state === "active");
  if (!active) throw new KeyFormatError("The database knows no active key-encryption key.");
  const ring = new KeyRing(keys, () => readActiveKey(prisma));
  const held = ring.find(active.id);
  if (!held) {
    throw new KeyFormatError(
      `The key-encryption key does not fit this database: it needs ${active.id}, and ${given(keys)} given. ${where(source, further)}`,
    );
  }
  for (const one of known) await check(prisma, ring, one);
  return ring;
}

const isInUse = ({ state }: KnownKey): boolean => state !== "retired";

/** @throws KeyUnavailable for the active key; others can be down: what they have wrapped is then unavailable. */
async function check(prisma: PrismaClient, ring: KeyRing, { id, state, checkValue }: KnownKey): Promise<void> {
  const key = ring.find(id);
  if (!key) {
    const wrapped = await countWrapped(prisma, id);
    if (wrapped === 0) return;
    throw new KeyFormatError(
      `This database needs the key ${id} too: ${wrapped} stored keys are wrapped by it. Add it to FACTORY_SECRETS_KEYS again, and move them first: npx factory-secrets keys rewrap`,
    );
  }
  const fits = await ring.fits(key, checkValue).catch((error: unknown) => {
    if (error instanceof KeyUnavailable && state !== "active") return true;
    throw error;
  });
  if (!fits) {
    throw new KeyFormatError(`The key-encryption key has the id ${id} that this database needs, but other bytes.`);
  }
}

/** The same key can be named twice, in both settings; two that share an id are a mistake. */
function onceEach(keys: readonly KeyEncryptionKey[]): KeyEncryptionKey[] {
  const byId = new Map<string, KeyEncryptionKey>();
  for (const key of keys) {
    const other = byId.get(key.id);
    if (other && key.isRemote && other.source !== key.source)
      throw new KeyFormatError(`${other.source} and ${key.source} have the same name. Give one key another name.`);
    if (!other) byId.set(key.id, key);
  }
  return [...byId.values()];
}

async function readFirstKey(
  source: KeySource,
  known: readonly KnownKey[],
  furtherKeys: number,
): Promise<KeyEncryptionKey[]> {
  const isNew = known.length === 0;
  const needs = isNew
    ? ""
    : ` Put your copy back: this database needs the key ${known.map(({ id }) => id).join(" or ")}.`;
  if (source.kind === "setting" && source.text === undefined) {
    if (furtherKeys > 0) return [];
    throw new KeyFormatError(
      `FACTORY_SECRETS_KEY is not set.${needs || " Make one, and keep a copy: openssl rand -base64 32"}`,
    );
  }
  try {
    if (source.kind === "setting")
      return [parseKey("env:FACTORY_SECRETS_KEY", "FACTORY_SECRETS_KEY", source.text ?? "")];
    // With a key of the settings the installation makes none for itself, and the file may go once it is not needed.
    if (furtherKeys === 0) return [await readOrCreateKeyFile(source.path, isNew)];
    const key = await readKeyFileIfPresent(source.path);
    return key ? [key] : [];
  } catch (error) {
    if (!(error instanceof KeyFormatError)) throw error;
    // Only where nothing was sealed yet is a new key no loss.
    throw new KeyFormatError(`${error.message}${needs || " Make one: openssl rand -base64 32"}`);
  }
}

function given(keys: readonly KeyEncryptionKey[]): string {
  const ids = keys.map(({ id }) => id);
  return `${ids.join(" and ")} ${ids.length === 1 ? "was" : "were"}`;
}

function where(source: KeySource, further: readonly KeyEncryptionKey[]): string {
  if (further.length > 0) return "Look at FACTORY_SECRETS_KEYS and FACTORY_SECRETS_KEY.";
  return source.kind === "file" ? `It was read from ${source.path}.` : "It was read from FACTORY_SECRETS_KEY.";
}

/** A key of the settings: where it is, and for `env:` what was there. */
export type ConfiguredKey =
  | { uri: Exclude<KeyUri, { kind: "env" }> }
  | { uri: Extract<KeyUri, { kind: "env" }>; text: string };

export type KeySourceDeps = { outbound: Pick<Outbound, "request">; transitToken: TransitToken | undefined };

/**
 * Makes ready the keys that the settings list. Nothing is called yet.
 * @throws KeyFormatError when a file or a variable holds no key
 */
export function configuredKeys(
  keys: readonly ConfiguredKey[],
  { outbound, transitToken }: KeySourceDeps,
): Promise<KeyEncryptionKey[]> {
  return Promise.all(
    keys.map(async (key): Promise<KeyEncryptionKey> => {
      const { uri } = key;
      switch (uri.kind) {
        case "file":
          return readKeyFile(uri.text, uri.path);
        case "env":
          return parseKey(uri.text, uri.name, "text" in key ? key.text : "");
        case "awskms":
          return awsKmsKey(uri, { outbound });
        case "transit":
          return transitKey(uri, { outbound, token: transitToken });
        default:
          return uri satisfies never;
      }
    }),
  );
}

/** A key-encryption key as the database knows it: never its bytes. */
export type KnownKey = { id: string; state: string; checkValue: Buffer };

export async function readKnownKeys(prisma: PrismaClient): Promise<KnownKey[]> {
  return (await prisma.keyEncryptionKey.findMany({ orderBy: { createdAt: "asc" } })).map(knownKey);
}

export async function readActiveKey(prisma: PrismaClient): Promise<KnownKey | undefined> {
  const row = await prisma.keyEncryptionKey.findFirst({ where: { state: "active" } });
  return row ? knownKey(row) : undefined;
}

const knownKey = ({ id, state, checkValue }: { id: string; state: string; checkValue: Uint8Array }): KnownKey => ({
  ...{ id, state },
  checkValue: Buffer.from(checkValue),
});

/** How many stored keys are wrapped by this one. */
export async function countWrapped(prisma: PrismaClient, id: string): Promise<number> {
  const row = await prisma.keyEncryptionKey.findUnique({
    select: { _count: { select: { dataKeys: true, signingKeys: true, auditKeys: true } } },
    where: { id },
  });
  return row ? row._count.dataKeys + row._count.signingKeys + row._count.auditKeys : 0;
}

/** Records the first key of an installation. Of several replicas that start at once, the first one's key stands. */
export async function recordFirstKey(
  prisma: PrismaClient,
  key: { id: string; source: string },
  checkValue: Buffer,
): Promise<void> {
  await prisma.$transaction([
    // Two replicas that each bring a key of their own must not both find the table empty. Readers are not kept waiting.
    prisma.$executeRawUnsafe("LOCK TABLE key_encryption_keys IN SHARE ROW EXCLUSIVE MODE"),
    prisma.$executeRawUnsafe(
      `INSERT INTO key_encryption_keys (id, source, state, check_value)
       SELECT $1::text, $2::text, 'active', $3::bytea WHERE NOT EXISTS (SELECT FROM key_encryption_keys)`,
      key.id,
      key.source,
      checkValue,
    ),
  ]);
}
