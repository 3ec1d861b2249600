import { beforeAll, describe, expect, test } from "vitest";
import { readSourceFiles, type SourceFile } from "./source-files.js";

/** Where a package may be imported: folders and files of src/. Every package that src/ imports is listed. */
const placesOfPackages: Record<string, readonly string[]> = {
  express: ["http/", "service/app.ts"],
  "zod-openapi": ["http/openapi.ts", "http/share-components.ts"],
  zod: [""],
  "zod/v4/core": ["http/openapi.ts"],
  yaml: ["factory-config/", "http/openapi.ts", "cli/job/references/", "cli/operator/", "cli/client/print-document.ts"],
  jsonwebtoken: ["identity/oauth/", "federation/sign-assertion.ts"],
  jose: ["identity/trust-rules/"],
  "@peculiar/x509": ["identity/devices/"],
  "rate-limiter-flexible": ["limits/"],
  "@smithy/signature-v4": ["aws/signature.ts"],
  "@aws-sdk/client-kms": ["crypto/sources/aws-kms.ts"],
  "@aws-sdk/client-ecr": ["broker/providers/aws/ecr.ts", "broker/providers/aws/ecr.ts"],
  "@aws-sdk/client-ecr-public": ["broker/providers/aws/ecr.ts", "broker/providers/aws/ecr.ts"],
  "@aws-sdk/client-iam": ["broker/providers/aws/doctor.ts"],
  "@aws-sdk/client-sts": ["broker/providers/aws/sts.ts"],
  "google-auth-library": ["broker/providers/google/token.ts"],
  undici: ["outbound/"],
  "ipaddr.js": ["outbound/", "limits/", "settings/"],
  pg: ["db/", "audit/record.ts", "backup/"],
  // A backup is rows as Postgres itself writes and reads them.
  "pg-copy-streams": ["backup/make-backup.ts", "backup/restore-backup.ts"],
  "@prisma/adapter-pg": ["db/database.ts"],
  pino: ["observability/log.ts"],
  "prom-client": ["observability/metrics.ts"],
  commander: ["cli/"],
  // Selects what --query asks for.
  "@jmespath-community/jmespath": ["cli/operator/print.ts"],
  "lru-cache": [""],
  "fastest-levenshtein": ["core/nearest-name.ts"],
};

/**
 * The folders of src/, each above all that it imports when the program runs: a file never loads one of a later folder.
 * docs/architecture.md draws the same order.
 */
const folderOrder = [
  "core",
  "http",
  "db",
  "outbound",
  "crypto",
  "audit",
  "limits",
  "observability",
  "factories",
  "factory-config",
  "secrets",
  "keys",
  "identity",
  "federation",
  "broker",
  "relay",
  "aws",
  "fioctl",
  "backup",
  "settings",
  "service",
  "cli",
];

/** What every feature may import: how routes are declared, what is recorded, sealed and stored. */
const common = ["core/", "http/", "audit/", "crypto/", "db/"];

/** What the files of a folder import from outside of it. A folder that is not here has nothing to import. */
const mayImport: Record<string, readonly string[]> = {
  // Turns entries and the secrets that they name into tokens. A caller who was withdrawn is read anew.
  broker: [
    ...common,
    "outbound/",
    "factory-config/",
    "federation/sign-assertion.ts",
    "secrets/open-secret.ts",
    // The doctor's paths are those of secrets and their versions.
    "secrets/contract.ts",
    "secrets/versions/routes.ts",
    "secrets/refuse-names.ts",
    "identity/callers.ts",
    "limits/",
  ],
  // The protocols of AWS's programs, translated to the broker.
  aws: [
    ...common,
    "broker/",
    "factory-config/",
    "identity/callers.ts",
    "secrets/factory-keys.ts",
    "limits/token-requests.ts",
  ],
  // What the broker opens registries with, used by the service itself.
  relay: [
    ...common,
    "broker/",
    "outbound/",
    "limits/",
    "identity/callers.ts",
    "identity/invalid-credential.ts",
    "identity/oauth/signed-tokens.ts",
    "identity/oauth/signed-tokens.ts",
  ],
  factories: common,
  // A factory as the issuer of what clouds take for the secrets of its entries.
  federation: [...common, "factory-config/", "identity/oauth/keys/"],
  // Which addresses are not called is said when an entry is saved.
  "factory-config": [...common, "outbound/addresses.ts", "outbound/connect-to.ts"],
  // Another wire for the same writes.
  fioctl: [...common, "secrets/"],
  // The keys of an issuer are fetched like everything else that comes from outside.
  identity: [...common, "outbound/", "factories/store.ts", "limits/"],
  // What is sealed anew is opened and sealed as everywhere.
  keys: [...common, "secrets/factory-keys.ts"],
  secrets: [...common, "limits/"],
  // Below the features: they know shapes of them, and none of their work.
  core: [],
  http: ["core/"],
  // The key that signs it is sealed like every other; it is shipped like everything else that goes out.
  audit: ["core/", "db/", "http/", "crypto/", "outbound/outbound.ts"],
  // All rows of everybody, without a look into them; that it was done is an event.
  // What a text may hold that is printed. What it is authenticated with is wrapped like every key.
  backup: ["core/", "db/", "crypto/", "audit/record.ts", "http/contract.ts"],
  // A key can be elsewhere, and is asked through the dialer.
  crypto: ["core/", "db/database.ts", "outbound/"],
  db: ["core/", "settings/settings.ts"],
  limits: ["core/", "db/database.ts", "db/measure-clock.ts"],
  outbound: ["core/"],
  observability: ["core/", "settings/settings.ts", "outbound/outbound.ts", "factory-config/entry.ts"],
};

/** Shapes that stand alone, as a `contract.ts` does. */
const isContract = (path: string): boolean =>
  /(^|[/-])contract\.ts$/.test(path) || ["core/grant.ts", "core/permissions.ts"].includes(path);

/** The files that put the service together may import everything. */
const isRoot = ({ feature }: SourceFile): boolean => ["cli", "settings", "service"].includes(feature);

const isWithin = (path: string, places: readonly string[]): boolean =>
  places.some((place) => (place === "" || place.endsWith("/") ? path.startsWith(place) : path === place));

/** Why a file under 40 lines with one importer stands alone. */
const reasonsToStandAlone: readonly (readonly [RegExp, string])[] = [
  [/^(service\/main|cli\/factory-secrets|service\/documents\/document-thread)\.ts$/, "a program begins with it"],
  [/^identity\/trust-rules\/templates\//, "one of a family: a file for each template"],
  [/(^|[/-])routes\.ts$/, "the list of all routes takes the routes of each feature"],
  // The importer is another feature or the process: there the work would lie apart from its feature.
  [/^http\/oauth-errors\.ts$/, "a form of errors, of the pipe"],
  [/^outbound\/certificate-authorities\.ts$/, "the settings', of the dialer"],
];

let files: SourceFile[];

beforeAll(async () => {
  files = await readSourceFiles();
});

/** `<file> imports <target>` for each import that `isWrong`. */
function wrongImports(isWrong: (file: SourceFile, target: string, isPackage: boolean) => boolean): string[] {
  return files.flatMap((file) =>
    file.imports
      .filter(({ target, isPackage }) => isWrong(file, target, isPackage))
      .map(({ target }) => `${file.path} imports ${target}`),
  );
}

describe("the import lines of src/", () => {
  test("are found: the reader of this test sees what it judges", () => {
    const app = files.find(({ path }) => path === "service/app.ts");
    expect(app?.imports).toContainEqual({ target: "service/servers.ts", isPackage: false, isTypeOnly: false });
    expect(files.flatMap(({ imports }) => imports).length).toBeGreaterThan(300);
  });

  test("name each package only where it has its place", () => {
    const wrong = wrongImports((file, target, isPackage) => {
      if (!isPackage || target.startsWith("node:")) return false;
      return !isWithin(file.path, placesOfPackages[target] ?? []);
    });
    expect(wrong).toEqual([]);
  });

  test("keep the envelope to node:crypto", () => {
    const envelope = files.filter(({ path }) => path.startsWith("crypto/envelope"));
    expect(envelope).not.toEqual([]);
    expect(new Set(envelope.flatMap(({ imports }) => imports.map(({ target }) => target)))).toEqual(
      new Set(["node:crypto"]),
    );
  });

  test("keep contracts to zod and other contracts", () => {
    const wrong = wrongImports(({ path }, target) => isContract(path) && target !== "zod" && !isContract(target));
    expect(wrong).toEqual([]);
  });

  test("go from feature to feature only as the table says", () => {
    const wrong = wrongImports((file, target, isPackage) => {
      if (isPackage || isRoot(file) || target.startsWith(`${file.feature}/`)) return false;
      return !isWithin(target, mayImport[file.feature] ?? []);
    });
    expect(wrong).toEqual([]);
  });

  test("go from folder to folder in one order, so that no two folders load each other", () => {
    expect([...new Set(files.map(({ feature }) => feature))].sort()).toEqual([...folderOrder].sort());
    const rank = (path: string): number => folderOrder.indexOf(path.split("/")[0] ?? "");
    const upward = files.flatMap(({ path, imports }) =>
      imports
        .filter(({ target, isPackage, isTypeOnly }) => !isPackage && !isTypeOnly && rank(target) > rank(path))
        .map(({ target }) => `${path} imports ${target}`),
    );
    expect(upward).toEqual([]);
  });

  test("keep the command line of other machines free of the server, which would take long to load", () => {
    const folders = ["cli/job/", "cli/client/", "cli/operator/"];
    // An export of the audit is verified on any machine, offline, by the very functions that the server writes it with.
    // Only `audit verify` loads them, when it is run.
    const verifier = ["checkpoint", "read-event", "tree", "verify"].map((name) => `audit/log/${name}.ts`);
    const loadsVerifier = (path: string): boolean =>
      path === "cli/operator/verify-export.ts" || verifier.includes(path);
    const programs = ["cli/docker-credential-factory-secrets.ts", "cli/packed-program.ts"];
    const isClient = ({ path }: SourceFile): boolean => isWithin(path, [...folders, ...verifier, ...programs]);
    const pure = [
      "core/error-code.ts",
      "core/package-root.ts",
      "core/visible-text.ts",
      "core/nearest-name.ts",
      "settings/client-names.ts",
      "core/normalise-host.ts",
      "broker/references/image-reference.ts",
    ];
    const mayLoad = [...folders, ...pure];
    const packagesOf = (path: string): string[] => [
      ...["commander", "yaml"],
      ...(path === "cli/operator/print.ts" ? ["@jmespath-community/jmespath"] : []),
    ];
    const wrong = files.filter(isClient).flatMap(({ path, imports }) =>
      imports
        .filter(({ isTypeOnly }) => !isTypeOnly)
        .filter(({ target, isPackage }) =>
          isPackage
            ? !target.startsWith("node:") && !packagesOf(path).includes(target)
            : !isWithin(target, mayLoad) && !(loadsVerifier(path) && verifier.includes(target)),
        )
        .map(({ target }) => `${path} imports ${target}`),
    );
    expect(wrong).toEqual([]);
    expect(files.filter(isClient).length).toBeGreaterThan(50);
  });

  test("keep what runs in a job apart from the commands of operators", () => {
    const isOfJob = ({ path }: SourceFile): boolean => isWithin(path, ["cli/job/", "cli/client/"]);
    expect(wrongImports((file, target) => isOfJob(file) && isWithin(target, ["cli/operator/", "cli/server/"]))).toEqual(
      [],
    );
  });

  test("reach the generated Prisma client only from db/", () => {
    expect(wrongImports(({ feature }, target) => feature !== "db" && target.startsWith("db/generated/"))).toEqual([]);
  });

  test("make no circle when the program runs", () => {
    const next = new Map(
      files.map(({ path, imports }) => [
        path,
        imports.filter(({ isPackage, isTypeOnly }) => !isPackage && !isTypeOnly).map(({ target }) => target),
      ]),
    );
    const circles: string[] = [];
    const done = new Set<string>();
    const walk = (path: string, trail: readonly string[]): void => {
      if (trail.includes(path)) circles.push([...trail.slice(trail.indexOf(path)), path].join(" -> "));
      else if (!done.has(path)) for (const target of next.get(path) ?? []) walk(target, [...trail, path]);
      done.add(path);
    };
    for (const path of next.keys()) walk(path, []);
    expect(circles).toEqual([]);
  });
});

describe("the code of src/", () => {
  /** `<file>:<line> <what was found>` for each match in the code of the files that the rule is for. */
  function found(pattern: RegExp, isFor: (file: SourceFile) => boolean = () => true): string[] {
    return files
      .filter(isFor)
      .flatMap(({ path, code }) => [...code.matchAll(pattern)].map(([text]) => `${path}: ${text.trim()}`));
  }

  test("asks the database only in the features, the audit and db/", () => {
    const isAbove = ({ path, feature }: SourceFile): boolean =>
      ["core", "http", "outbound", "limits", "settings", "observability", "service"].includes(feature) &&
      !["service/health.ts", "limits/token-endpoint-failures.ts"].includes(path);
    // `$transaction` is no query: an operation says with it what belongs together.
    const queries = /\b(?:prisma|transaction)\.(?!\$transaction\b)[$\w]+|\$(?:query|execute)Raw\w*|\bpool\.query\b/g;
    expect(found(queries, isAbove)).toEqual([]);
  });

  test("reads the environment only in service/main.ts and cli/", () => {
    expect(found(/\bprocess\.env\b/g, ({ path, feature }) => path !== "service/main.ts" && feature !== "cli")).toEqual(
      [],
    );
  });

  test("writes to the standard streams of the command line in one file, which makes all text harmless", () => {
    const isOfCommandLine = ({ path }: SourceFile): boolean =>
      path.startsWith("cli/") && path !== "cli/client/output.ts";
    const writes =
      /\bconsole\s*\.[^\n]*|\b(?:stdout|stderr|output)\s*\.\s*(?:write|end)\b[^\n]*|\bpipeline\([^\n]*std(?:out|err)[^\n]*|createWriteStream\([^)]*fd[^\n]*|writeSync\([12]\b[^\n]*/g;
    expect(found(writes, isOfCommandLine)).toEqual([
      // The prompts, through `harmless`.
      "cli/operator/given-input.ts: output.write(harmless(question)),",
      "cli/operator/given-input.ts: output.write(harmless(question)),",
      'cli/operator/given-input.ts: output.write("");',
    ]);
    // Whoever takes a stream out of `process` could write to it under another name.
    expect(found(/\{[^}=\n]*\bstd(?:out|err)\b[^}\n]*\} = process\b/g, isOfCommandLine)).toEqual([
      "cli/operator/operator-client.ts: { stdin, stdout, stderr } = process",
    ]);
  });

  test("asserts no type, outside of the two files that type the route machinery", () => {
    const isMachinery = ({ path }: SourceFile): boolean => ["http/route.ts", "http/mount.ts"].includes(path);
    const assertion = /[\w)\]}"] as (?!const\b)\w[^\n]*/g;
    const isImport = (line: string): boolean => /: (?:\w+, )?\w+ as \w+/.test(line) && line.includes(" as ");
    expect(found(assertion, (file) => !isMachinery(file)).filter((line) => !isImport(line))).toEqual([]);
    expect(found(/[:<|&,]\s*any\b/g, (file) => !isMachinery(file))).toEqual([]);
    expect(found(/[\w)\]]!(?=[.,;)\][])/g, (file) => !isMachinery(file))).toEqual([]);
  });

  test("exports by name and from where a thing is", () => {
    expect(found(/^export default\b[^\n]*/gm)).toEqual([]);
    // Whoever is handed a client or a logger names its type, and must not import where it comes from.
    expect(found(/^export (?:type )?(?:\*|\{[^}]*\}) from\b[^\n]*/gm)).toEqual([
      'db/database.ts: export type { PrismaClient } from "";',
      'observability/log.ts: export type { Logger } from "";',
    ]);
  });

  test("is in files of at most 400 lines, named after what they do", () => {
    expect(files.filter(({ text }) => text.split("\n").length > 401).map(({ path }) => path)).toEqual([]);
    const vague = /(^|\/)(index|utils?|helpers?|types|common|misc)\.ts$|\.(service|repository|controller)\.ts$/;
    expect(files.map(({ path }) => path).filter((path) => vague.test(path))).toEqual([]);
  });

  test("has no file under 40 lines with one importer, which belongs into it, unless there is a reason", () => {
    const importers = new Map<string, Set<string>>();
    for (const { path, imports } of files)
      for (const { target, isPackage } of imports)
        if (!isPackage) importers.set(target, (importers.get(target) ?? new Set()).add(path));
    const isSmall = ({ text }: SourceFile): boolean => text.split("\n").length - 1 < 40;
    const alone = files.filter((file) => isSmall(file) && (importers.get(file.path)?.size ?? 0) < 2);
    const without = alone.filter(({ path }) => !reasonsToStandAlone.some(([pattern]) => pattern.test(path)));
    expect(without.map(({ path }) => path)).toEqual([]);
    const idle = reasonsToStandAlone.filter(([pattern]) => !alone.some(({ path }) => pattern.test(path)));
    expect(idle).toEqual([]);
  });

  test("leaves nothing for later", () => {
    const unfinished = files.filter(({ text }) => /\b(?:TODO|FIXME|XXX|HACK)\b/.test(text));
    expect(unfinished.map(({ path }) => path)).toEqual([]);
  });
});
