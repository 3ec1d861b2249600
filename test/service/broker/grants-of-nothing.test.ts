import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestService, type TestService } from "../../support/test-service.js";

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.close());

const config = `- { type: generic, url: ghcr.io, generic_secret_name: a }
- { type: gar, gar_creds_secret_name: a }
- { type: aws, region: us-east-2, aws_creds_secret_name: a }
`;

async function publish(factory: string, document: string, on = service): Promise<void> {
  const put = on.as(on.operatorToken).put(`/v1/factories/${factory}/config`).query({ allowMissingSecrets: "true" });
  await put
    .set("Content-Type", "application/yaml")
    .send(document)
    .expect(/"version"/);
}

/** The warnings of a job that is opened with grants for these registries, or without grants. */
async function warnings(factory: string, registries?: readonly string[], on = service): Promise<unknown> {
  const grants = registries?.map((registry) => ({ registry }));
  const open = on.as(on.operatorToken).post(`/v1/factories/${factory}/jobs`);
  return (await open.send({ name: "job", ...(grants && { grants }) }).expect(201)).body.warnings;
}

const unserved = (registry: string) => ({
  code: "registry-unknown",
  message: `No entry of the factory config serves ${registry}: the job gets nothing by that grant until one does.`,
});

describe("a job that is opened", () => {
  it("warns once of each registry that no entry serves, and of none that one does", async () => {
    const { name } = await service.createFactory();
    await publish(name, config);
    const served = ["GHCR.io", "gar", "europe-docker.pkg.dev", "aws:us-east-2"];
    expect(await warnings(name, served)).toEqual([]);
    expect(await warnings(name, ["gchr.io", ...served, "aws:us-east-1", "gchr.io"])).toEqual(
      ["gchr.io", "aws:us-east-1"].map(unserved),
    );
  });

  it("without grants warns of nothing, though there is no config yet", async () => {
    const { name } = await service.createFactory();
    expect(await warnings(name)).toEqual([]);
    expect(await warnings(name, ["ghcr.io"])).toEqual([unserved("ghcr.io")]);
  });

  it("knows the entry that was published on another replica a moment ago", async () => {
    const replica = await startTestService({}, service);
    const { name } = await service.createFactory();
    expect(await warnings(name, ["ghcr.io"])).toHaveLength(1);
    await publish(name, config, replica);
    expect(await warnings(name, ["ghcr.io"])).toEqual([]);
    await replica.close();
  });

  it("is opened under a config that this release cannot parse, without a warning", async () => {
    const { id, name } = await service.createFactory();
    await publish(name, config);
    const ofLater = Buffer.from("- { type: of-a-later-release }\n");
    await service.database.pool.query("UPDATE config_versions SET document = $2 WHERE factory_id = $1", [id, ofLater]);
    expect(await warnings(name, ["gchr.io"])).toEqual([]);
  });
});
