import { Argument, Command } from "commander";
import { writeOut } from "../client/output.js";
import { bashScript } from "./bash.js";
import { commandTree } from "./command-tree.js";
import { fishScript } from "./fish.js";
import { zshScript } from "./zsh.js";

const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript } as const;

type Shell = keyof typeof scripts;

const shells: readonly Shell[] = ["bash", "zsh", "fish"];

/** `completion`: prints a script that completes all commands of the program that it was added to. */
export function completionCommand(): Command {
  return new Command("completion")
    .description("print a script that completes commands and options in your shell")
    .addArgument(new Argument("<shell>", "yours").choices(shells))
    .addHelpText(
      "after",
      "\nExample:\n  source <(factory-secrets completion bash)\n  factory-secrets completion fish > ~/.config/fish/completions/factory-secrets.fish",
    )
    .action((shell: Shell, _flags: unknown, command: Command) => {
      const program = command.parent;
      if (program) writeOut(scripts[shell](program.name(), commandTree(program)));
    });
}
