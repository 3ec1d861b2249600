import { describe, expect, test } from "vitest";
import { secretValue } from "../../../support/leak-watch.js";
import { documentOf, serveDesk } from "./served-desk.js";

const served = serveDesk();

const config = (...args: string[]) => served.desk.run(["config", ...args]);
const put = (host: string) => served.desk.run(["config", "put", "-"], documentOf(host));

describe("registries", () => {
  const registries = (...args: string[]) => served.desk.run(["registries", ...args]);

  test("are added, shown, changed and removed, and the rest of the document stays", async () => {
    await put("ghcr.io");
    const added = await registries(
      "add",
      "--type",
      "aws",
      "--region",
      "us-east-2",
      "--secret",
      "aws_creds",
      "--allow-missing-secrets",
    );
    expect(added).toMatchObject({ exitCode: 0, out: "Added aws:us-east-2, in version 2 of the config.\n" });
    expect(added.err).toMatch(/^Warning: line \d+, column \d+: /);
    expect((await registries("list")).out).toMatch(/^ID .*\nghcr\.io .*\naws:us-east-2 {2}aws .*\n$/);
    expect((await registries("show", "aws:us-east-2", "-o", "yaml")).out).toContain("region: us-east-2\n");
    await served.desk.run(["secrets", "set", "creds_2"], `ci:${secretValue()}`);
    const changed = await registries("set", "ghcr.io", "--secret", "creds_2", "--allow-missing-secrets");
    expect(changed).toMatchObject({ exitCode: 0, out: "Changed ghcr.io, in version 3 of the config.\n" });
    const gar = await served.desk.run(
      ["registries", "add", "--from-file", "-", "--allow-missing-secrets"],
      "type: gar\nsecretName: gar_creds\nhosts:\n- us-docker.pkg.dev\n",
    );
    expect(gar).toMatchObject({ exitCode: 0 });
    const more = await registries(
      "set",
      "us-docker.pkg.dev",
      "--host",
      "europe-docker.pkg.dev",
      "--host",
      "us-docker.pkg.dev",
      "--allow-missing-secrets",
    );
    expect(more).toMatchObject({ exitCode: 0 });
    expect((await registries("list")).out).toContain("europe-docker.pkg.dev, us-docker.pkg.dev");
    expect(await registries("rm", "ghcr.io")).toMatchObject({
      exitCode: 2,
      err: expect.stringContaining("Pass `--yes`"),
    });
    const removed = await registries("rm", "ghcr.io", "--yes", "--allow-missing-secrets");
    expect((await config("get")).out).toMatch(/^# ours\n/);
    expect((await registries("list")).out).not.toContain("ghcr.io");
    const [, back = ""] =
      /^Removed ghcr\.io\. To undo: factory-secrets (config restore \d+)\n$/m.exec(removed.err) ?? [];
    expect(await served.desk.run([...back.split(" "), "--allow-missing-secrets"])).toMatchObject({ exitCode: 0 });
    expect((await registries("list")).out).toContain("ghcr.io");
  });

  test("go from a secret to a role that trusts the factory, and back", async () => {
    const host = "123456789012.dkr.ecr.us-east-2.amazonaws.com";
    const role = "arn:aws:iam::123456789012:role/registry-pull";
    const entry = { id: host, type: "aws", url: host, region: "us-east-2" };
    const aws = ["--type", "aws", "--host", host];
    expect(await registries("add", ...aws, "--secret", "creds")).toMatchObject({ exitCode: 0 });
    const shown = async () => JSON.parse((await registries("show", host, "-o", "json")).out);
    expect(await registries("set", host, "--role-arn", role)).toMatchObject({ exitCode: 0 });
    expect(await shown()).toEqual({ ...entry, awsRoleArn: role });
    expect(await registries("set", host, "--secret", "creds")).toMatchObject({ exitCode: 0 });
    expect(await shown()).toEqual({ ...entry, secretName: "creds" });

    const azure = ["--type", "azure", "--host", "example.azurecr.io", "--azure-client-id", crypto.randomUUID()];
    expect(await registries("add", ...azure, "--azure-tenant-id", crypto.randomUUID())).toMatchObject({ exitCode: 0 });
    const provider = "projects/4171/locations/global/workloadIdentityPools/factories/providers/acme";
    const gar = [
      "--workload-identity-provider",
      provider,
      "--service-account",
      "pull@example-1.iam.gserviceaccount.com",
    ];
    expect(await registries("add", "--type", "gar", "--host", "us-docker.pkg.dev", ...gar)).toMatchObject({
      exitCode: 0,
    });
  });

  test("say what is wrong with them", async () => {
    expect(await registries("add", "--type", "generic")).toMatchObject({
      exitCode: 2,
      err: expect.stringMatching(/\n {2}\/secretName: /),
    });
    expect(await registries("add")).toMatchObject({
      exitCode: 2,
      err: expect.stringMatching(/^No member of the entry was given/),
    });
    expect(await registries("show", "quay.io")).toMatchObject({
      exitCode: 5,
      err: expect.stringContaining("(not-found"),
    });
    const broken = await served.desk.run(["registries", "add", "--from-file", "-"], "type: [gar\n");
    expect(broken).toMatchObject({
      exitCode: 2,
      err: expect.stringMatching(/^-:\d+:\d+: not valid YAML or JSON\.\n$/),
    });
  });
});
