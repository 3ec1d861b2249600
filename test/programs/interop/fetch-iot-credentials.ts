import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import type { Issued } from "../../support/devices/device-certificates.js";
import { runProgram } from "../../support/programs/run-to-end.js";
import { startConnectProxy } from "../../support/registry/connect-proxy.js";
import type { JobMachine } from "../cli/job/job-machine.js";
import { python } from "./run-aws-programs.js";

export const IotKeys = z.object({ accessKeyId: z.string(), secretAccessKey: z.string(), sessionToken: z.string() });
const Outcome = z.object({ ok: IotKeys.optional(), error: z.string().optional() });

export type IotRequest = {
  device: Issued & { id: string };
  deviceUrl: string;
  /** Whom the device trusts. */
  caPem: string;
  roleAlias?: string;
  /** The device's own id by default. */
  thingName?: string;
  /** Where its connections end up, if not at `deviceUrl`. */
  port?: number;
};

const script = fileURLToPath(new URL("iot-credentials.py", import.meta.url));

/** What awscrt finds on a machine with the device's certificate. It speaks to port 443 only: a proxy leads it here. */
export async function fetchIotCredentials(machine: JobMachine, request: IotRequest): Promise<z.output<typeof Outcome>> {
  const { device, deviceUrl, caPem, roleAlias = "ecr-pull", thingName = device.id } = request;
  const put = (name: string, text: string): string => {
    const path = join(machine.home, name);
    writeFileSync(path, text);
    return path;
  };
  const proxy = await startConnectProxy({ "127.0.0.1": request.port ?? Number(new URL(deviceUrl).port) });
  const wanted = {
    endpoint: "127.0.0.1",
    thingName,
    roleAlias,
    certificate: put("device.pem", device.pem),
    key: put("device.key", device.keyPem),
    authority: put("ca.pem", caPem),
    proxyPort: Number(new URL(proxy.url).port),
  };
  const { stdout, stderr } = await runProgram(python ?? "", [script, JSON.stringify(wanted)], machine.environment);
  await proxy.close();
  if (stdout === "") throw new Error(stderr);
  return Outcome.parse(JSON.parse(stdout));
}
