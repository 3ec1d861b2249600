import { readFileSync } from "node:fs";
import { rootCertificates } from "node:tls";
import type { ClientName } from "../../settings/client-names.js";
import type { Environment } from "../../settings/reader.js";
import { CommandFailure, exitCodes } from "./command-failure.js";

export type Connection = {
  /** Without a slash at its end. */
  url: string;
  /** Trusted authorities, PEM; `undefined`: those of Node. */
  authorities: readonly string[] | undefined;
  /** How long one request is retried. */
  giveUpAfterMs: number;
  /** The program has no `--timeout`. */
  isTimeoutFixed?: boolean;
};

/** How a job reaches the service, and for which factory. */
export type ClientSettings = Connection & {
  factory: string;
  /** Audience of the ID tokens that the job asks for. */
  audience: string;
};

/** Options; they win over the environment. */
export type ConnectionFlags = { url?: string; factory?: string; caFile?: string; timeout?: string };

export type ClientFlags = ConnectionFlags & { audience?: string };

const defaultTimeoutSeconds = 60;

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
 * Reads the URL of the service and the name of the factory.
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
 * @param saved - what counts when neither an option nor the environment is set
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
      "The URL of the service is not set. Set FACTORY_SECRETS_URL, such as https://secrets.example.com, or pass --url URL.",
    );
  return {
    url,
    authorities: readAuthorities(environment, flags.caFile, saved.caFile),
    giveUpAfterMs: timeoutSeconds(flags.timeout) * 1_000,
  };
}

/** The URL from the options or the environment. @throws CommandFailure when it is not valid */
export function urlNamed(environment: Environment, flags: ConnectionFlags): string | undefined {
  if (flags.url !== undefined) return serviceUrl(flags.url, "--url");
  const given = settingOf(environment, "FACTORY_SECRETS_URL");
  return given === undefined ? undefined : serviceUrl(given, "FACTORY_SECRETS_URL");
}

/** The factory from the options or the environment. */
export function factoryNamed(environment: Environment, flags: ConnectionFlags): string | undefined {
  return flags.factory ?? settingOf(environment, "FACTORY_SECRETS_FACTORY");
}

export const noFactoryNamed = (): CommandFailure =>
  wrongSetting("No factory is named. Set FACTORY_SECRETS_FACTORY to its name, or pass --factory NAME.");

/** Whether tokens would cross a network unencrypted. */
export function isPlainHttp(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === "http:" && !/^(localhost|127\.[\d.]+|\[::1\])$/.test(hostname);
}

/** @param namedBy - the option or setting, for the message @throws CommandFailure when it is not the URL of a service */
export function serviceUrl(given: string, namedBy: string): string {
  const url = URL.canParse(given) ? new URL(given) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.username !== "" || url.search !== "" || url.hash !== "") {
    // `url` is also a member of a registry entry, so a bare host may be that of a registry.
    const hint =
      namedBy === "--url" && /^[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}(?:\/|$)/i.test(given)
        ? " It is the URL of factory-secrets; name a registry with --host or --registry."
        : "";
    throw wrongSetting(`${namedBy} must be an http:// or https:// URL without a user, a query or a fragment.${hint}`);
  }
  return url.href.replace(/\/+$/, "");
}

function timeoutSeconds(given: string | undefined): number {
  if (given === undefined) return defaultTimeoutSeconds;
  const seconds = /^\d{1,4}$/.test(given) ? Number(given) : 0;
  if (seconds < 1 || seconds > 3_600) throw wrongSetting("--timeout takes a whole number of seconds from 1 to 3600.");
  return seconds;
}

// The `ca` option of Node replaces its own authorities and NODE_EXTRA_CA_CERTS, so they are added here.
function readAuthorities(
  environment: Environment,
  caFile: string | undefined,
  savedPath: string | undefined,
): readonly string[] | undefined {
  const path = caFile ?? (environment.FACTORY_SECRETS_CA_FILE || savedPath);
  if (!path) return undefined;
  const extra = environment.NODE_EXTRA_CA_CERTS;
  const own = readText(path, caFile === undefined ? "FACTORY_SECRETS_CA_FILE" : "--ca-file");
  if (!own.includes("-----BEGIN CERTIFICATE-----")) throw wrongSetting(`${path} contains no PEM certificate.`);
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
