import { readFileSync } from "node:fs";
import { rootCertificates } from "node:tls";
import type { ClientName } from "../../settings/client-names.js";
import type { Environment } from "../../settings/reader.js";
import { CommandFailure, exitCodes } from "./command-failure.js";

/** How a command reaches the service. */
export type Connection = {
  /** Without a slash at its end. */
  url: string;
  /** Whom to trust, PEM; `undefined` for what Node trusts by itself. */
  authorities: readonly string[] | undefined;
  /** All tries of one request together. */
  patienceMs: number;
  /** There is no `--timeout` to change it with. */
  isPatienceFixed?: boolean;
};

/** How a job reaches the service, and whose factory it means. */
export type ClientSettings = Connection & {
  factory: string;
  /** For whom the ID tokens are that the job asks for. */
  audience: string;
};

/** What stands on the command line; it wins over the environment. */
export type ConnectionFlags = { url?: string; factory?: string; caFile?: string; timeout?: string };

export type ClientFlags = ConnectionFlags & { audience?: string };

const defaultPatienceSeconds = 60;

/**
 * The value of a setting, from the environment or from the file that `<NAME>_FILE` names.
 * @throws CommandFailure when both are set, or the file cannot be read
 */
export function settingOf(environment: Environment, name: ClientName): string | undefined {
  const direct = environment[name]?.trim() || undefined;
  const path = environment[`${name}_FILE`] || undefined;
  if (path === undefined) return direct;
  if (direct !== undefined) throw wrongSetting(`${name} and ${name}_FILE are both set. Keep one.`);
  return readText(path, `${name}_FILE`).trim() || undefined;
}

/**
 * Reads where the service is and whose factory is meant.
 * @throws CommandFailure with what to set
 */
export function readClientSettings(environment: Environment, flags: ClientFlags): ClientSettings {
  const connection = readConnection(environment, flags);
  const factory = factoryNamed(environment, flags);
  if (factory === undefined) throw noFactoryNamed();
  return {
    ...connection,
    factory,
    audience: flags.audience ?? settingOf(environment, "FACTORY_SECRETS_AUDIENCE") ?? connection.url,
  };
}

/**
 * Reads how to reach the service.
 * @param saved - what counts where neither the command line nor the environment says anything
 * @throws CommandFailure with what to set
 */
export function readConnection(
  environment: Environment,
  flags: ConnectionFlags,
  saved: { url?: string | undefined; caFile?: string | undefined } = {},
): Connection {
  const url = urlNamed(environment, flags) ?? saved.url;
  if (url === undefined)
    throw wrongSetting(
      "Where is the service? Set FACTORY_SECRETS_URL, such as https://secrets.example.com, or give --url URL.",
    );
  return {
    url,
    authorities: readAuthorities(environment, flags.caFile, saved.caFile),
    patienceMs: patienceSeconds(flags.timeout) * 1_000,
  };
}

/** The service that the command line or the environment names. @throws CommandFailure when it is no URL for one */
export function urlNamed(environment: Environment, flags: ConnectionFlags): string | undefined {
  if (flags.url !== undefined) return serviceUrl(flags.url, "--url");
  const given = settingOf(environment, "FACTORY_SECRETS_URL");
  return given === undefined ? undefined : serviceUrl(given, "FACTORY_SECRETS_URL");
}

/** The factory that the command line or the environment names. */
export function factoryNamed(environment: Environment, flags: ConnectionFlags): string | undefined {
  return flags.factory ?? settingOf(environment, "FACTORY_SECRETS_FACTORY");
}

export const noFactoryNamed = (): CommandFailure =>
  wrongSetting("Which factory? Set FACTORY_SECRETS_FACTORY to its name, or give --factory NAME.");

/** Whether tokens would cross a network in the clear. */
export function isPlainHttp(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === "http:" && !/^(localhost|127\.[\d.]+|\[::1\])$/.test(hostname);
}

/** @param namedBy - what holds it, for the refusal @throws CommandFailure when it is no URL for a service */
export function serviceUrl(given: string, namedBy: string): string {
  const url = URL.canParse(given) ? new URL(given) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.username !== "" || url.search !== "" || url.hash !== "") {
    // A host alone may be that of a registry: `url` is a member of an entry.
    const hint =
      namedBy === "--url" && /^[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}(?:\/|$)/i.test(given)
        ? " It is where factory-secrets is; the host of a registry is given with --host or --registry."
        : "";
    throw wrongSetting(`${namedBy} must be an http:// or https:// URL without a user, a query or a fragment.${hint}`);
  }
  return url.href.replace(/\/+$/, "");
}

function patienceSeconds(given: string | undefined): number {
  if (given === undefined) return defaultPatienceSeconds;
  const seconds = /^\d{1,4}$/.test(given) ? Number(given) : 0;
  if (seconds < 1 || seconds > 3_600) throw wrongSetting("--timeout is a whole number of seconds, from 1 to 3600.");
  return seconds;
}

// Authorities that are given replace those that Node would use, NODE_EXTRA_CA_CERTS among them: all are named here.
function readAuthorities(
  environment: Environment,
  caFile: string | undefined,
  savedPath: string | undefined,
): readonly string[] | undefined {
  const path = caFile ?? (environment.FACTORY_SECRETS_CA_FILE || savedPath);
  if (!path) return undefined;
  const extra = environment.NODE_EXTRA_CA_CERTS;
  const own = readText(path, caFile === undefined ? "FACTORY_SECRETS_CA_FILE" : "--ca-file");
  if (!own.includes("-----BEGIN CERTIFICATE-----")) throw wrongSetting(`${path} holds no certificate in PEM.`);
  return [...rootCertificates, ...(extra ? [readText(extra, "NODE_EXTRA_CA_CERTS")] : []), own];
}

function readText(path: string, namedBy: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    throw wrongSetting(`${namedBy} names a file that cannot be read: ${path}`);
  }
}

const wrongSetting = (sentence: string): CommandFailure => new CommandFailure(exitCodes.usage, sentence);
