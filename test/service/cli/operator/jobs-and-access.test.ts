import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestCertificateAuthority } from "../../../support/certificates.js";
import { secretValue } from "../../../support/leak-watch.js";
import { startTestService, type TestService } from "../../../support/test-service.js";
import { type OperatorDesk, openOperatorDesk } from "./operator-desk.js";

let service: TestService;
let desk: OperatorDesk;
beforeAll(async () => {
  service = await startTestService();
  desk = openOperatorDesk({
    FACTORY_SECRETS_URL: service.url,
    FACTORY_SECRETS_TOKEN: service.operatorToken,
    FACTORY_SECRETS_FACTORY: (await service.createFactory()).name,
  });
});
afterAll(async () => {
  desk?.close();
  await service?.close();
});

const run = (...args: string[]) => desk.run(args);
const whoIs = async (token: string) => (await service.as(token).get("/v1/whoami")).body;

describe("jobs", () => {
  test("open prints the token alone, and what it is beside it", async () => {
    const entries = ["ghcr.io", "quay.io"].map((host) => `- { type: generic, url: ${host}, generic_secret_name: a }\n`);
    await desk.run(["config", "put", "-", "--allow-missing-secrets"], entries.join(""));
    const grants = ["--grant", "ghcr.io=acme/base,acme/app", "--grant", "quay.io"];
    const done = await run("jobs", "open", "nightly", "--ttl", "600", ...grants);
    expect(done).toMatchObject({ exitCode: 0, out: expect.stringMatching(/^fsj_\S+\n$/) });
    expect(done.err).toMatch(/^Job [0-9a-f-]{36}, until \S+Z\. The credential is shown only now\.\n$/);
    const { name, grants: held } = await whoIs(done.out.trim());
    expect({ name, held }).toEqual({
      name: "nightly",
      held: [
        { registry: "ghcr.io", repositories: ["acme/base", "acme/app"], actions: ["pull"] },
        { registry: "quay.io", actions: ["pull"] },
      ],
    });
  });

  test("open warns of a grant for what no entry serves", async () => {
    const done = await run("jobs", "open", "mistyped", "--grant", "gchr.io=acme/base", "--grant", "ghcr.io");
    expect(done).toMatchObject({ exitCode: 0, out: expect.stringMatching(/^fsj_\S+\n$/) });
    expect(done.err).toMatch(/^Warning: No entry of the factory config serves gchr\.io: .*\nJob .*\n$/);
  });

  test("are ended by their name, several at once, and a name that several have is not guessed", async () => {
    const open = async (name: string) => (await run("jobs", "open", name)).out.trim();
    const [one, two, same, again] = [
      await open("e-one"),
      await open("e-two"),
      await open("e-same"),
      await open("e-same"),
    ];
    const done = await run("jobs", "end", "e-one", "e-two");
    expect(done).toMatchObject({
      exitCode: 0,
      err: expect.stringMatching(/^(Ended the job [0-9a-f-]{36}\. .*\n){2}$/),
    });
    for (const token of [one, two]) expect((await whoIs(token ?? "")).code).toBe("unauthenticated");
    const unclear = await run("jobs", "end", "e-same");
    expect(unclear).toMatchObject({
      exitCode: 2,
      err: expect.stringMatching(/^Several running jobs are named "e-same"\. .*: [0-9a-f-]{36}, [0-9a-f-]{36}\n$/),
    });
    for (const token of [same, again]) expect((await whoIs(token ?? "")).name).toBe("e-same");
    expect(await run("jobs", "end", "e-one")).toMatchObject({
      exitCode: 2,
      err: 'No running job is named "e-one". To see the running jobs: factory-secrets jobs list\n',
    });
  });

  test("live for a length of time as people write it", async () => {
    const { expiresAt } = JSON.parse((await run("jobs", "open", "two-hours", "--ttl", "2h", "-o", "json")).out);
    expect(Math.abs(Date.parse(expiresAt) - Date.now() - 7_200_000)).toBeLessThan(60_000);
  });

  test("are listed, shown and ended", async () => {
    const opened = JSON.parse((await run("jobs", "open", "short", "-o", "json")).out);
    expect((await run("jobs", "list")).out).toMatch(new RegExp(`\n${opened.id} {2}short +running `));
    expect((await run("jobs", "show", opened.id)).out).toMatch(/^state: +running$/m);
    expect(await run("jobs", "end", opened.id)).toMatchObject({ exitCode: 0 });
    expect((await whoIs(opened.token)).code).toBe("unauthenticated");
    expect(await run("jobs", "end", opened.id)).toMatchObject({ exitCode: expect.any(Number) });
    expect(await run("jobs", "open", "x", "--ttl", "an hour")).toMatchObject({ exitCode: 2 });
  });

  test("their tokens are masked on GitHub, and warned of on GitLab", async () => {
    desk.environment.GITHUB_ACTIONS = "true";
    const masked = await run("jobs", "open", "masked");
    expect(masked.err).toMatch(new RegExp(`^::add-mask::${masked.out.trim()}\n`));
    desk.environment.GITHUB_ACTIONS = "";
    desk.environment.GITLAB_CI = "true";
    expect((await run("jobs", "open", "warned")).err).toMatch(/^Warning: GitLab cannot mask this token\./);
    desk.environment.GITLAB_CI = "";
  });
});

describe("api-tokens and oauth-clients", () => {
  test("are made, listed and withdrawn", async () => {
    const made = await run(
      "api-tokens",
      "create",
      "reader",
      "--permission",
      "secrets:list",
      "--permission",
      "audit:read",
    );
    const token = made.out.trim();
    const { id, permissions } = await whoIs(token);
    expect(permissions).toEqual(["secrets:list", "audit:read"]);
    expect((await run("api-tokens", "list")).out).toContain(`${id}  reader`);
    expect(await run("api-tokens", "rm", id)).toMatchObject({ exitCode: 2 });
    expect(await run("api-tokens", "rm", id, "--yes")).toMatchObject({ exitCode: 0 });
    expect((await whoIs(token)).code).toBe("unauthenticated");
    expect((await run("roles")).out).toMatch(/^ROLE +PERMISSIONS\n\S+ /);
  });

  test("an OAuth client has two secrets during a rotation", async () => {
    const made = JSON.parse((await run("oauth-clients", "create", "fioctl", "--role", "operator", "-o", "json")).out);
    const added = await run("oauth-clients", "add-secret", made.id);
    expect(added.out).toMatch(/^fsc_\S+\n$/);
    const shown = JSON.parse((await run("oauth-clients", "show", made.id, "-o", "json")).out);
    const [first] = shown.secrets;
    expect(await run("oauth-clients", "rm-secret", made.id, first.id, "-y")).toMatchObject({ exitCode: 0 });
    expect(await run("oauth-clients", "rm", made.id, "-y")).toMatchObject({ exitCode: 0 });
  });
});

describe("factories", () => {
  test("are made, listed, set and deleted", async () => {
    expect((await run("factories", "create", "made-here")).out).toMatch(/^Created made-here, [0-9a-f-]{36}\.\n$/);
    expect((await run("factories", "list")).out).toContain("\nmade-here  ");
    const set = await run("factories", "settings", "--factory", "made-here", "--keep-versions", "20");
    expect(set.out).toMatch(/^keepVersions: +20\n/);
    expect((await run("factories", "settings", "--factory", "made-here", "-o", "json")).out).toContain(
      '"keepVersions": 20',
    );
    expect(await run("factories", "settings", "--keep-versions", "many")).toMatchObject({ exitCode: 2 });
    expect(await run("factories", "rm", "made-here", "--yes")).toMatchObject({ exitCode: 0 });
  });
});

describe("trust-rules", () => {
  const rule = `name: main branch
template: github-actions
issuer: https://token.actions.githubusercontent.com
audience: https://secrets.example.com
conditions:
- { claim: repository_id, equals: "123" }
- { claim: repository_owner_id, equals: "45" }
- { claim: ref, equals: refs/heads/main }
grants:
- { registry: ghcr.io, repositories: [acme/base], actions: [pull] }
`;
  const put = (text: string) => desk.run(["trust-rules", "put", "-"], text);

  test("are put from a file, changed by their name, and withdrawn", async () => {
    const made = await put(rule);
    expect(made).toMatchObject({
      exitCode: 0,
      out: expect.stringMatching(/^Created "main branch", [0-9a-f-]{36}\.\n$/),
    });
    expect((await run("trust-rules", "list")).out).toMatch(/\n[0-9a-f-]{36} {2}main branch {2}github-actions /);
    const shown = await run("trust-rules", "show", "main branch", "-o", "yaml");
    const changed = await put(shown.out.replace("acme/base", "acme/app"));
    expect(changed).toMatchObject({ exitCode: 0, out: expect.stringMatching(/^Changed "main branch"/) });
    // What was read before that change must not undo it.
    expect(await put(shown.out)).toMatchObject({ exitCode: 5, err: expect.stringContaining("(precondition-failed") });
    expect(await put(rule)).toMatchObject({ exitCode: 0, out: expect.stringMatching(/^Changed/) });
    expect(await run("trust-rules", "rm", "no such rule", "-y")).toMatchObject({ exitCode: 5 });
    expect(await run("trust-rules", "rm", "main branch", "-y")).toMatchObject({ exitCode: 0 });
    expect((await run("trust-rules", "list", "-o", "json")).out).toBe('{\n  "items": []\n}\n');
  });

  test("that would let strangers in are refused, thing by thing", async () => {
    const open = await put(rule.replace(/- \{ claim: repository.*\n/g, ""));
    expect(open).toMatchObject({ exitCode: 5, err: expect.stringMatching(/\n {2}\S+: .*\n\(unsafe-rule, /) });
    expect(await put("- a list\n")).toMatchObject({ exitCode: 2, err: "-: not a mapping of names to values.\n" });
    expect(await put("issuer: x\n")).toMatchObject({
      exitCode: 2,
      err: "-: the rule has no name. Add a line such as: name: main branch\n",
    });
  });

  test("explain says condition by condition why claims are let in or not", async () => {
    await put(rule);
    const claims = join(desk.directory, "claims.yml");
    const good = `iss: https://token.actions.githubusercontent.com\naud: https://secrets.example.com\nrepository_id: "123"\nrepository_owner_id: "45"\nref: refs/heads/main\n`;
    writeFileSync(claims, good);
    const letIn = await run("trust-rules", "explain", "--claims", claims);
    expect(letIn).toMatchObject({
      exitCode: 0,
      out: expect.stringMatching(/Accepted\. It may pull:\n {2}ghcr\.io acme\/base\n$/),
    });
    writeFileSync(claims, good.replace("heads/main", "heads/next"));
    const refused = await run("trust-rules", "explain", "--claims", claims);
    expect(refused.exitCode).toBe(1);
    expect(refused.out).toMatch(/\n {2}ok {2}repository_id: .*\n[\s\S]*\n {2}NO {2}ref: .*; found "refs\/heads\/next"/);
    expect(refused.out).toMatch(/No rule accepts it\. The lines marked NO say why\.\n$/);
    const token = await desk.run(["trust-rules", "explain"], "not.a.token");
    expect(token).toMatchObject({ exitCode: 2, err: expect.stringMatching(/\n {2}\/idToken: not a signed JWT/) });
  });

  test("templates show what a rule must bind, and lint what is wrong with those that are there", async () => {
    expect((await run("trust-rules", "templates")).out).toMatch(/\ngithub-actions +GitHub/);
    const one = await run("trust-rules", "templates", "gitlab");
    expect(one.out).toMatch(/\nmust bind: .*\n[\s\S]*\nCLAIM +TYPE[\s\S]*\nconditions:\n/);
    expect(await run("trust-rules", "templates", "jenkins")).toMatchObject({ exitCode: 5 });
    await put(rule.replace("- { claim: ref, equals: refs/heads/main }\n", ""));
    const lint = await run("trust-rules", "lint");
    expect(lint).toMatchObject({
      exitCode: 1,
      out: expect.stringMatching(/^RULE +SEVERITY +AT +WHAT\nmain branch +warning /),
    });
    await put(rule);
  });

  test("of every template are printed as put takes them", async () => {
    const { items } = JSON.parse((await run("trust-rules", "templates", "-o", "json")).out);
    expect(items.length).toBeGreaterThan(4);
    for (const { name } of items) {
      const yaml = await run("trust-rules", "templates", name, "-o", "yaml");
      expect(await put(yaml.out)).toMatchObject({
        exitCode: 0,
        out: expect.stringMatching(`^Created "example for ${name}", `),
      });
      const json = await run("trust-rules", "templates", name, "-o", "json");
      expect(await put(json.out)).toMatchObject({ exitCode: 0, out: expect.stringMatching(/^Changed/) });
      expect((await run("trust-rules", "templates", name)).out).toContain(`\n\n${yaml.out}`);
      await run("trust-rules", "rm", `example for ${name}`, "--yes");
    }
  });
});

describe("devices", () => {
  test("authorities and denials are kept", async () => {
    const { caPem } = await createTestCertificateAuthority();
    const pem = join(desk.directory, "ca.pem");
    writeFileSync(pem, caPem);
    const made = await run("devices", "authorities", "add", "line 1", "--certificates", pem, "-o", "json");
    expect(made).toMatchObject({ exitCode: 0 });
    const { id } = JSON.parse(made.out);
    expect((await run("devices", "authorities", "list")).out).toContain(`\n${id}  line 1  `);
    const set = await desk.run(["devices", "authorities", "set-policy", id, "-", "-o", "json"], "maxTtlSeconds: 600\n");
    expect(JSON.parse(set.out)).toMatchObject({ name: "line 1", policy: { maxTtlSeconds: 600 } });
    const device = "7f3b2c1d-0000-4000-8000-000000000000";
    const denied = JSON.parse((await run("devices", "deny", device, "--reason", "stolen", "-o", "json")).out);
    expect((await run("devices", "denied")).out).toMatch(new RegExp(`\n${denied.id} {2}${device} .*stolen\n`));
    expect(await run("devices", "allow", denied.id)).toMatchObject({ exitCode: 0 });
    expect(await run("devices", "authorities", "set-crl", id, pem)).toMatchObject({ exitCode: 5 });
    expect(await run("devices", "authorities", "rm", id, "-y")).toMatchObject({ exitCode: 0 });
  });
});

describe("audit tail", () => {
  test("shows the last events, oldest first, of a factory or the installation", async () => {
    await desk.run(["secrets", "set", "tailed"], secretValue());
    await desk.run(["secrets", "set", "tailed"], secretValue());
    const done = await run("audit", "tail", "-n", "2", "--secret", "tailed");
    expect(done.out).toMatch(
      /^\S+Z {2}allowed {2}\S+ {2}operator "test operator" {2}secret=tailed .*\n\S+Z {2}allowed .* secret=tailed .*\n$/,
    );
    const json = await run("audit", "tail", "--lines", "3", "-o", "json");
    const events = json.out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(events).toHaveLength(3);
    expect(events.map(({ at }) => at)).toEqual(events.map(({ at }) => at).toSorted());
    expect(await run("audit", "tail", "--installation")).toMatchObject({ exitCode: 0 });
    expect(await run("audit", "tail", "--lines", "0")).toMatchObject({ exitCode: 2 });
  });
});
