import { describe, expect, test } from "vitest";
import { awsPartitions } from "../../../src/core/aws-partitions.js";
import { parseKeyUri } from "../../../src/crypto/key-uri.js";

const arn = "arn:aws:kms:us-east-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

const uriOf = (text: string) => {
  const parsed = parseKeyUri(text);
  if ("mistake" in parsed) throw new Error(parsed.mistake);
  return parsed.uri;
};
const mistakeIn = (text: string) => {
  const parsed = parseKeyUri(text);
  return "mistake" in parsed ? parsed.mistake : undefined;
};

describe("the address of a key", () => {
  test("is a file, a variable, a KMS key or a Transit key", () => {
    expect(uriOf("file:/etc/fs/key")).toMatchObject({ kind: "file", path: "/etc/fs/key" });
    expect(uriOf("file:///etc/fs/key")).toMatchObject({ kind: "file", path: "/etc/fs/key" });
    expect(uriOf("env:KEY_2026")).toMatchObject({ kind: "env", name: "KEY_2026" });
    expect(uriOf(`awskms:///${arn}`)).toMatchObject({ kind: "awskms", arn, region: "us-east-2" });
    expect(uriOf("transit://vault.example.com:8200/team/transit/fs?namespace=ns/one")).toMatchObject({
      ...{ kind: "transit", origin: "https://vault.example.com:8200", mount: "team/transit", key: "fs" },
      namespace: "ns/one",
    });
  });

  test.each(awsPartitions.flatMap(({ id, regions }) => regions.map((region) => [id, region] as const)))(
    "may be in %s %s, and not in another partition",
    (partition, region) => {
      const inPartition = (id: string) => arn.replace("arn:aws:", `arn:${id}:`).replace("us-east-2", region);
      expect(uriOf(`awskms:///${inPartition(partition)}`)).toMatchObject({ kind: "awskms", region });
      const other = partition === "aws" ? "aws-cn" : "aws";
      expect(mistakeIn(`awskms:///${inPartition(other)}`)).toContain(`is of the partition ${partition}.`);
    },
  );

  test.each([
    ["awskms:///arn:aws:kms:us-east-2:111122223333:alias/factory-secrets", /not an alias/],
    ["awskms:///1234abcd-12ab-34cd-56ef-1234567890ab", /arn:aws:kms/],
    [
      "awskms:///arn:aws:kms:us-east-2.evil.example/:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
      /arn:aws:kms/,
    ],
    ["transit://vault.example.com/only-a-mount", /transit:\/\/HOST/],
    ["transit://user:pw@vault.example.com/transit/fs", /transit:\/\/HOST/],
    ["transit://vault.example.com/transit/../sys/fs", /transit:\/\/HOST/],
    ["transit://vault.example.com/transit/fs?x=1", /transit:\/\/HOST/],
    ["transit://vault.example.com/transit/fs?namespace=a%2f..%2fb", /namespace/],
    ["env:", /names no environment variable/],
    ["file:", /names no file/],
    ["https://vault.example.com/v1/transit/keys/fs", /written as/],
  ])("is refused when it is %s", (text, sentence) => {
    expect(mistakeIn(text)).toMatch(sentence);
  });

  test("that is a key itself is refused without being quoted", () => {
    expect(mistakeIn("bm90LWEtcmVhbC1zZWNyZXQtYnV0LTMyLWJ5dGVzLW8=")).not.toContain("bm90");
  });
});

describe("the id of a key that is elsewhere", () => {
  const idOf = (text: string) => {
    const uri = uriOf(text);
    return "id" in uri ? uri.id : "";
  };

  test("is the same wherever a Vault listens, and another for each namespace, mount and name", () => {
    expect(idOf("transit://new.example.com/transit/fs")).toBe(idOf("transit://old.example.com:8200/transit/fs"));
    const ids = ["transit/fs", "transit/fs2", "other/fs", "transit/fs?namespace=a"].map((path) =>
      idOf(`transit://vault.example.com/${path}`),
    );
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("is the same for the replicas of a multi-region key, and another for each other key", () => {
    const multi = "key/mrk-1234abcd12ab34cd56ef1234567890ab";
    const inRegion = (region: string, key: string) => idOf(`awskms:///arn:aws:kms:${region}:111122223333:${key}`);
    expect(inRegion("us-east-2", multi)).toBe(inRegion("eu-west-1", multi));
    const single = "key/1234abcd-12ab-34cd-56ef-1234567890ab";
    expect(inRegion("us-east-2", single)).not.toBe(inRegion("eu-west-1", single));
  });
});
