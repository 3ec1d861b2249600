import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import { accessKeyIdOf, deriveSecretAccessKey, entryTagOf, parseAccessKeyId } from "../../../src/aws/aws-keys.js";

const entryId = "123456789012.dkr.ecr.us-east-2.amazonaws.com";

describe("the id of a job's AWS-shaped key", () => {
  it("has the form that AWS gives its own, and says job and entry", () => {
    for (let count = 0; count < 200; count += 1) {
      const jobId = randomUUID();
      const id = accessKeyIdOf(jobId, entryId);
      expect(id).toMatch(/^FSJK[A-Z0-9]{42}$/);
      expect(parseAccessKeyId(id)).toEqual({ jobId, entryTag: entryTagOf(entryId) });
    }
  });

  it("has one spelling only, and nothing else is read as one", () => {
    const id = accessKeyIdOf("3f0c3f86-6f0e-4d0b-9d3b-6a1f0a1b2c3d", entryId);
    // Two bits of the last character are not used.
    const others = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"].map((end) => id.slice(0, -1) + end);
    expect(others.filter((one) => parseAccessKeyId(one) !== undefined)).toHaveLength(8);
    for (const wrong of ["", "AKIAIOSFODNN7EXAMPLE", id.toLowerCase(), `${id}A`, id.slice(0, -1), `${id}\n`]) {
      expect(parseAccessKeyId(wrong)).toBeUndefined();
    }
  });
});

describe("the secret half", () => {
  const key = Buffer.alloc(32, 7);
  const place = { factoryId: randomUUID(), jobId: randomUUID(), entryId };

  it("has the form that AWS gives its own, and is the same each time", () => {
    expect(deriveSecretAccessKey(key, place)).toMatch(/^[A-Za-z0-9+/]{40}$/);
    expect(deriveSecretAccessKey(key, place)).toBe(deriveSecretAccessKey(key, place));
  });

  it("is another for another key, factory, job or entry", () => {
    const secrets = [
      deriveSecretAccessKey(key, place),
      deriveSecretAccessKey(Buffer.alloc(32, 8), place),
      deriveSecretAccessKey(key, { ...place, factoryId: randomUUID() }),
      deriveSecretAccessKey(key, { ...place, jobId: randomUUID() }),
      deriveSecretAccessKey(key, { ...place, entryId: `${entryId}m` }),
    ];
    expect(new Set(secrets).size).toBe(secrets.length);
  });
});
