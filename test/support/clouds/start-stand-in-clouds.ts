import { createTestCertificateAuthority, type TestCertificateAuthority } from "../certificates.js";
import { createStandInAws, type StandInAws, type StandInAwsOptions } from "./aws/stand-in-aws.js";
import { createStandInAzure, type StandInAzure } from "./azure/stand-in-azure.js";
import { Clock } from "./clock.js";
import { createStandInDocker, type StandInDocker } from "./docker/stand-in-docker.js";
import { EndpointRegister } from "./endpoint-register.js";
import { createStandInGoogle, type StandInGoogle } from "./google/stand-in-google.js";
import { listenForHosts, type TlsListener } from "./tls-listener.js";
import { createStandInVault, type StandInVault } from "./vault/stand-in-vault.js";

export type StandInClouds = {
  /** The value of `FACTORY_SECRETS_CONNECT_TO` for every host that exists at the time of reading. */
  readonly connectTo: string;
  /** What a client has to trust: the content of `FACTORY_SECRETS_CA_FILE`. */
  caPem: string;
  /** The one port of 127.0.0.1 on which every host is served. */
  port: number;
  /** The time of all stand-ins. */
  clock: Clock;
  aws: StandInAws;
  azure: StandInAzure;
  google: StandInGoogle;
  docker: StandInDocker;
  vault: StandInVault;
  /** Asks a stand-in directly, as docker or skopeo would. */
  request: TlsListener["request"];
  /** Breaks what is open and stops listening. */
  close(): Promise<void>;
};

/**
 * Starts stand-ins for AWS, Azure, Google and Docker registries on one TLS port of 127.0.0.1. They speak the real wire
 * under the real host names and check what they are sent; registries and accounts are added to them by the test.
 */
export async function startStandInClouds(
  options: { authority?: TestCertificateAuthority; aws?: StandInAwsOptions } = {},
): Promise<StandInClouds> {
  const authority = options.authority ?? (await createTestCertificateAuthority());
  const register = new EndpointRegister();
  const clock = new Clock();
  const aws = createStandInAws(register, clock, options.aws ?? {});
  const azure = createStandInAzure(register, clock);
  const google = createStandInGoogle(register, clock);
  const docker = createStandInDocker(register, clock);
  const vault = createStandInVault(register);
  const listener = await listenForHosts(authority, (host) => register.find(host));
  return {
    get connectTo() {
      return register.hosts.map((host) => `${host}:443=127.0.0.1:${listener.port}`).join(",");
    },
    caPem: authority.caPem,
    port: listener.port,
    clock,
    aws,
    azure,
    google,
    docker,
    vault,
    request: (request) => listener.request(request),
    close: () => listener.close(),
  };
}
