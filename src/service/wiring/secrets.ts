import type { AuditWriter } from "../../audit/record.js";
import type { Facts } from "../../broker/issue/factory-facts.js";
import {
  checkCredentialText,
  checkOtherCloud,
  checkUnnamedCredentialText,
  mistakesFor,
} from "../../broker/secret-formats/check-credential-text.js";

import type { FactoryRef } from "../../core/caller.js";
import type { Database } from "../../db/database.js";
import { mentionsOf, ParsedVersions } from "../../factory-config/current-config.js";

import type { ConfigDocuments } from "../../factory-config/read-document.js";
import { SecretQuestions } from "../../limits/secret-questions.js";
import type { Logger } from "../../observability/log.js";
import type { FactoryKeys } from "../../secrets/factory-keys.js";
import { SecretHeads } from "../../secrets/secret-heads.js";
import { SecretUses } from "../../secrets/usage/secret-uses.js";
import { valueWarnings } from "../../secrets/value-warnings.js";
import type { SecretsDeps } from "../../secrets/write-secrets.js";
import { SecretWriter } from "../../secrets/write-statement.js";
import type { Settings } from "../../settings/settings.js";

/** What writes secrets. Which entries name a secret, and what form they need, the parsed factory-config says. */
export function createSecretsDeps(input: {
  prisma: Database["prisma"];
  audit: AuditWriter;
  factoryKeys: FactoryKeys;
  facts: Facts;
  maxSecrets: number;
}): SecretsDeps {
  const { prisma, audit, factoryKeys, facts, maxSecrets } = input;
  return {
    audit,
    factoryKeys,
    heads: new SecretHeads(prisma),
    writer: new SecretWriter(prisma, { maxSecrets }),
    limits: { maxSecrets },
    warningsFor: async (factory, name, value) => {
      const entries = (await facts.of(factory)).entries.filter(({ entry }) => entry.secretName === name);
      const types = [...new Set(entries.map(({ entry }) => entry.type))];
      const text = value.revealText();
      const remarks =
        types.length === 0
          ? checkUnnamedCredentialText(text)
          : [...checkOtherCloud(types, text), ...types.flatMap((type) => checkCredentialText(type, text))];
      return [...valueWarnings(value), ...remarks];
    },
    mistakesFor: async (factory, name, value) => {
      const named = (await facts.of(factory)).entries.filter(({ entry }) => entry.secretName === name);
      if (named.length === 0) return [];
      const text = value.revealText();
      return [...new Set(named.flatMap(({ entry }) => mistakesFor(entry, text)))];
    },
    configVersion: async (factory, isRead) =>
      (await (isRead === "anew" ? facts.present(factory) : facts.of(factory))).configVersion,
    entriesNaming: async (factory, names) =>
      (await facts.present(factory)).entries
        .filter(({ entry }) => entry.secretName !== undefined && names.includes(entry.secretName))
        .map(({ entry }) => entry.id),
  };
}

/** What keeps a secret alive: its versions, their uses, and its way back after a deletion. */
export function createSecretLifeDeps(input: {
  prisma: Database["prisma"];
  documents: ConfigDocuments;
  settings: Settings;
  log: Logger;
}) {
  const { prisma, documents, log } = input;
  const { undeleteDays } = input.settings;
  const parsedVersions = new ParsedVersions(documents);
  return {
    documents,
    parsedVersions,
    undeleteDays,
    verifyLimit: new SecretQuestions({ perMinute: 10, what: "This secret was compared too often." }),
    uses: new SecretUses({ prisma, onError: (err) => log.warn({ err }, "uses of secrets could not be written") }),
    mentionsOf: (factory: FactoryRef, name: string) => mentionsOf({ prisma, parsedVersions }, factory, name),
  };
}
