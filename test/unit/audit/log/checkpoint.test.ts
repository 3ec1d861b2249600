import { generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  openCheckpoint,
  originOf,
  pem,
  publicKeyOf,
  readCheckpoint,
  readPublicKeys,
  readVerifierKey,
  signCheckpoint,
  verifierKey,
} from "../../../../src/audit/log/checkpoint.js";

function newKey() {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const spki = publicKey.export({ format: "der", type: "spki" });
  const known = publicKeyOf(spki);
  return { known, spki, signer: { keyId: known.id, privateKey, publicKey: known.bytes } };
}

const ours = newKey();
const other = newKey();
const installation = "1f0c2d3e-0000-4000-8000-000000000001";
const origin = originOf(installation, "1f0c2d3e-0000-4000-8000-000000000002");
const head = { origin, size: 41, root: Buffer.alloc(32, 7) };
const note = signCheckpoint(ours.signer, head);

describe("a checkpoint", () => {
  it("is a signed note: origin, size, root, an empty line, a signature", () => {
    expect(note).toMatch(
      new RegExp(`^${origin}\\n41\\n${head.root.toString("base64")}\\n\\n\\u2014 ${origin} [A-Za-z0-9+/]{91}=\\n$`),
    );
    expect(openCheckpoint(note, [other.known, ours.known])).toEqual({ head, keyId: ours.known.id });
  });

  it("may have signatures by others, which are ignored", () => {
    const cosigned = `${note}${signCheckpoint(other.signer, head).split("\n\n")[1]}\u2014 witness.example AAAAAA==\n`;
    expect(openCheckpoint(cosigned, [ours.known])).toEqual({ head, keyId: ours.known.id });
  });

  it.each([
    ["of another size", note.replace("\n41\n", "\n42\n"), "has a wrong signature"],
    ["with a wrong signature by a known key", note.replace(/.{4}\n$/, "AAA=\n"), "has a wrong signature"],
    ["by an unknown key", signCheckpoint(other.signer, head), "is not signed by one of the given keys"],
    ["by the key of another log", note.replace(origin, originOf(installation, installation)), "is not signed by"],
    ["without a signature", note.slice(0, note.indexOf("\u2014")), "is not a checkpoint"],
    ["that is cut off", note.slice(0, -1), "is not a checkpoint"],
    ["with a size in another form", note.replace("\n41\n", "\n041\n"), "is not a checkpoint"],
    ["with text behind", `${note}\n`, "is not a checkpoint"],
  ])("%s is rejected", (_what, text, problem) => {
    expect(openCheckpoint(text, [ours.known]).problem).toContain(problem);
  });

  it("of a log has the log in its name", () => {
    expect(readCheckpoint(note)?.origin).toBe(`factory-secrets/${installation}/1f0c2d3e-0000-4000-8000-000000000002`);
    expect(originOf(installation, installation)).toBe(`factory-secrets/${installation}`);
  });
});

describe("a key", () => {
  it("is written as verifier keys are, and read again", () => {
    const text = verifierKey(origin, ours.known.bytes);
    expect(text).toMatch(new RegExp(`^${origin}\\+[0-9a-f]{8}\\+[A-Za-z0-9+/]{44}$`));
    expect(readVerifierKey(text)?.id).toBe(ours.known.id);
    expect(readVerifierKey(text.replace(/\+([0-9a-f])/, "+x"))).toBeUndefined();
  });

  it("of the signed-note specification is one", () => {
    // The example of C2SP signed-note, section "Verifier keys".
    const key = readVerifierKey("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k");
    expect(key?.bytes).toHaveLength(32);
  });

  it("is read from PEM, and nothing else is", () => {
    expect(readPublicKeys(pem(ours.spki) + pem(other.spki)).map(({ id }) => id)).toEqual([
      ours.known.id,
      other.known.id,
    ]);
    expect(() => readPublicKeys("")).toThrow("no public key");
  });
});
