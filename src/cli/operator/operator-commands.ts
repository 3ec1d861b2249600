import type { Command } from "commander";
import { credentialRows, deviceRows, factoryRows, jobRows } from "./access-commands.js";
import { apiRow } from "./api-command.js";
import { type CommandDeps, commandsOf, type Groups, type Row } from "./command.js";
import { configRows, registryRows } from "./config-commands.js";
import { loginRows } from "./login-commands.js";
import { secretRows } from "./secret-commands.js";
import { trustRuleRows } from "./trust-rule-commands.js";

/** All commands of operators, in the order of the help. */
export const operatorRows: readonly Row[] = [
  ...loginRows,
  ...secretRows,
  ...configRows,
  ...registryRows,
  ...jobRows,
  ...trustRuleRows,
  ...deviceRows,
  ...credentialRows,
  ...factoryRows,
  apiRow,
];

const groups: Groups = {
  secrets: [
    "store and manage secrets; a value is never shown",
    "factory-secrets secrets set aws_creds --from-file ~/.aws/credentials\nfactory-secrets secrets list",
  ],
  config: [
    "the factory config: read, check, edit, publish, restore",
    "factory-secrets config check factory-config.yml && factory-secrets config put factory-config.yml",
  ],
  registries: [
    "the entries of the factory config, one at a time; the rest of the config stays",
    "factory-secrets registries add --type generic --host registry.gitlab.com --secret gitlab_creds",
  ],
  jobs: [
    "CI jobs, each with a token of its own",
    "export FACTORY_SECRETS_TOKEN=$(factory-secrets jobs open nightly --grant registry.gitlab.com=acme/base)",
  ],
  "trust-rules": [
    "which ID tokens of CI systems and clusters are accepted",
    "factory-secrets trust-rules templates github-actions\nfactory-secrets trust-rules put rule.yml",
  ],
  devices: [
    "devices with X.509 certificates: their authorities, and denied devices",
    "factory-secrets devices authorities list",
  ],
  "devices authorities": [
    "the authorities whose devices are accepted",
    "factory-secrets devices authorities add 'line 1' --certificates ca.pem",
  ],
  "api-tokens": [
    "tokens of people and programs, with permissions",
    "factory-secrets api-tokens create 'build server' --role ci",
  ],
  "oauth-clients": [
    "clients for fioctl login and other programs",
    "factory-secrets oauth-clients create fioctl --role operator",
  ],
  factories: ["the tenants of the installation", "factory-secrets factories create acme"],
};

export const operatorCommands = (deps: CommandDeps): Command[] => commandsOf(deps, operatorRows, groups);
