import type { Command } from "commander";
import { accessCommands } from "./access-commands.js";
import { configCommands } from "./config-commands.js";
import type { CommandDeps } from "./define-command.js";
import { deviceCommands } from "./device-commands.js";
import { factoryCommands } from "./factory-commands.js";
import { ciJobCommands } from "./job-commands.js";
import { loginCommands } from "./login-commands.js";
import { registryCommands } from "./registry-commands.js";
import { secretCommands } from "./secret-commands.js";
import { trustRuleCommands } from "./trust-rule-commands.js";

/** The commands of an operator, which need nothing but a service that can be reached. */
export function operatorCommands(deps: CommandDeps): Command[] {
  return [
    ...loginCommands(deps),
    secretCommands(deps),
    configCommands(deps),
    registryCommands(deps),
    ciJobCommands(deps),
    trustRuleCommands(deps),
    deviceCommands(deps),
    ...accessCommands(deps),
    factoryCommands(deps),
  ];
}
