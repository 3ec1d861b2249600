import { resolve } from "node:path";
import { Failure } from "./failure.mjs";
import { inputOf, isSet, linesOf } from "./runner.mjs";

/**
 * What the workflow asks for. What the command line checks itself is passed on as it is.
 * @throws Failure
 */
export function readInputs(environment) {
  return {
    url: serviceUrl(inputOf(environment, "url")),
    factory: required(environment, "factory"),
    audience: inputOf(environment, "audience"),
    registries: linesOf(environment, "registries"),
    repositories: linesOf(environment, "repositories"),
    folder: inputOf(environment, "for"),
    allowPartial: isSet(environment, "allow-partial"),
    allowBroader: isSet(environment, "allow-broader"),
    caFile: pathOf(environment, "ca-file"),
    pinned: checksum(inputOf(environment, "cli-sha256")),
    dockerConfig: pathOf(environment, "docker-config"),
    timeoutSeconds: seconds(inputOf(environment, "timeout")),
  };
}

function required(environment, name) {
  const value = inputOf(environment, name);
  if (value === "") throw new Failure(`The input ${name} is missing.`);
  return value;
}

function serviceUrl(given) {
  if (given === "") throw new Failure("The input url is missing: where the service is, https://secrets.example.com.");
  const url = URL.canParse(given) ? new URL(given) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.username !== "" || url.search !== "" || url.hash !== "")
    throw new Failure("The input url is an http:// or https:// URL without a user, a query or a fragment.");
  return url.href.replace(/\/+$/, "");
}

// Later steps may run in another folder.
function pathOf(environment, name) {
  const path = inputOf(environment, name);
  return path === "" ? "" : resolve(path);
}

function checksum(given) {
  if (given === "") return undefined;
  if (!/^[0-9a-f]{64}$/i.test(given)) throw new Failure("The input cli-sha256 is a SHA-256: 64 hexadecimal digits.");
  return given.toLowerCase();
}

function seconds(given) {
  const number = /^\d{1,4}$/.test(given || "60") ? Number(given || "60") : 0;
  if (number < 1 || number > 3_600)
    throw new Failure("The input timeout is a whole number of seconds, from 1 to 3600.");
  return number;
}
