import { once } from "node:events";
import { createServer } from "node:net";
import { GetAuthorizationTokenCommand } from "@aws-sdk/client-ecr";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type AwsFactory, host, otherHost, startAwsFactory } from "../../support/aws/aws-factory.js";
import { pull } from "../../support/broker/brokered-factory.js";
import { ecrClient } from "../../support/clouds/aws-clients.js";
import { type Issued, makeDevice, makeRoot } from "../../support/devices/device-certificates.js";
import { makeServerFiles, register } from "../../support/devices/device-service.js";
import { hoursFromNow } from "../../support/devices/refused-device.js";
import { type JobMachine, openJobMachine } from "../cli/job/job-machine.js";
import { deadPort } from "./aws-jobs.js";
import { fetchIotCredentials, IotKeys, type IotRequest } from "./fetch-iot-credentials.js";
import { python, withoutPython } from "./run-aws-programs.js";

type Wanted = Pick<IotRequest, "device" | "roleAlias" | "thingName" | "port">;

const policy = {
  grants: [{ registry: host, repositories: ["team/app"], actions: ["pull" as const] }],
  roleAliases: [
    { alias: "ecr-pull", registry: host },
    { alias: "elsewhere", registry: otherHost },
  ],
};

describe.skipIf(python === undefined)(`awscrt, the client of AWS IoT devices${withoutPython}`, () => {
  let files: Awaited<ReturnType<typeof makeServerFiles>>;
  let factory: AwsFactory;
  let root: Issued;
  let device: IotRequest["device"];
  beforeAll(async () => {
    files = await makeServerFiles();
    factory = await startAwsFactory(files.environment);
    root = await makeRoot();
    await register(factory.service, factory.factory, { certificates: [root], policy });
    device = await makeDevice(root, factory.factory.name);
  });
  afterAll(async () => {
    await factory?.close();
    await files?.remove();
  });

  let machine: JobMachine;
  beforeEach(() => {
    machine = openJobMachine({});
  });
  afterEach(() => machine.close());

  const fetchAs = (wanted: Wanted) =>
    fetchIotCredentials(machine, { ...wanted, deviceUrl: factory.service.deviceUrl, caPem: files.caPem });

  test("gets credentials that AWS holds to what the policy grants", async () => {
    const { ok } = await fetchAs({ device });
    const { authorizationData } = await ecrClient(factory.clouds, IotKeys.parse(ok)).send(
      new GetAuthorizationTokenCommand({}),
    );
    const basic = `Basic ${authorizationData?.[0]?.authorizationToken}`;
    expect(await pull(factory.clouds, host, "team/app", basic)).toBe(200);
    expect(await pull(factory.clouds, host, "team/other", basic)).toBe(403);
  });

  const strangers = async (): Promise<Wanted> => ({ device: await makeDevice(await makeRoot(), factory.factory.name) });

  async function anotherFactorys(): Promise<Wanted> {
    const other = await factory.service.createFactory();
    const otherRoot = await makeRoot();
    await register(factory.service, other, { certificates: [otherRoot], policy });
    return { device: await makeDevice(otherRoot, factory.factory.name) };
  }

  async function denied(): Promise<Wanted> {
    const own = await makeDevice(root, factory.factory.name);
    const path = `/v1/factories/${factory.factory.name}/denied-devices`;
    const operator = factory.service.as(factory.service.operatorToken);
    await operator.post(path).send({ deviceId: own.id }).expect(201);
    return { device: own };
  }

  async function expired(): Promise<Wanted> {
    const times = { notBefore: hoursFromNow(-2), notAfter: hoursFromNow(-1) };
    return { device: await makeDevice(root, factory.factory.name, times) };
  }

  /** Of each, what the factory's audit has in the end; nothing of whom no authority of its own vouches for. */
  const refused: [what: string, make: () => Promise<Wanted>, audit: object | undefined][] = [
    ["a stranger's certificate", strangers, undefined],
    ["the certificate of a device of another factory", anotherFactorys, undefined],
    ["a denied device", denied, { action: "device.refused", reason: "denied" }],
    ["an expired certificate", expired, { action: "device.refused", reason: "expired" }],
    [
      "another thing's name",
      async () => ({ device, thingName: "another-thing" }),
      { action: "request.refused", code: "forbidden" },
    ],
    [
      "an alias that does not exist",
      async () => ({ device, roleAlias: "no-such-alias" }),
      { action: "request.refused", code: "outside-grants" },
    ],
    [
      "an alias whose registry is not granted",
      // A device of its own: another refusal of the same one in this minute would only be counted.
      async () => ({ device: await makeDevice(root, factory.factory.name), roleAlias: "elsewhere" }),
      { action: "request.refused", code: "outside-grants" },
    ],
  ];

  /** What the factory's audit has of refused devices, oldest first. */
  async function audited(): Promise<Record<string, unknown>[]> {
    const { pool } = factory.service.database;
    const sql = "SELECT event FROM audit_events WHERE factory_id = $1 AND action LIKE '%.refused' ORDER BY id";
    const { rows } = await pool.query<{ event: Buffer }>(sql, [factory.factory.id]);
    return rows.map(({ event }) => JSON.parse(event.toString("utf8")));
  }

  test.each(refused)("gets none, and prints no reason; the audit has it: %s", async (_, make, audit) => {
    const before = await audited();
    const { ok, error } = await fetchAs(await make());
    expect(ok).toBeUndefined();
    expect(error).toContain("AWS_AUTH_CREDENTIALS_PROVIDER_HTTP_STATUS_FAILURE");
    expect((await audited()).slice(before.length)).toMatchObject(audit ? [audit] : []);
  });

  test("says in its own words that the service is down, or too slow for it", async () => {
    const silent = createServer().listen(0, "127.0.0.1");
    await once(silent, "listening");
    const address = silent.address();
    const silentPort = typeof address === "object" && address !== null ? address.port : 0;
    const [down, slow] = await Promise.all([
      fetchAs({ device, port: await deadPort() }),
      fetchAs({ device, port: silentPort }),
    ]);
    silent.close();
    expect(down.error).toContain("AWS_IO_SOCKET_CLOSED");
    expect(slow.error).toContain("AWS_IO_TLS_NEGOTIATION_TIMEOUT");
  });
});
