import type { Flag, Node } from "./command-tree.js";

/** A completion script for fish, 3.0 and later. */
export function fishScript(program: string, nodes: readonly Node[]): string {
  const functionName = `__${program.replaceAll("-", "_")}_at`;
  const paths = nodes.flatMap(({ path }) => (path === "" ? [] : [path]));
  return `# fish completion of ${program}. To load it: ${program} completion fish | source
function ${functionName}
    set -l at ''
    for word in (commandline -opc)[2..-1]
        if contains -- "$at/$word" ${paths.join(" ")}
            set at "$at/$word"
        end
    end
    test "$at" = "$argv[1]"
end
complete -c ${program} -f
${nodes.flatMap((node) => linesOf(program, functionName, node)).join("\n")}
`;
}

function linesOf(program: string, functionName: string, { path, operand, subcommands, options }: Node): string[] {
  const here = `complete -c ${program} -n ${quoted(`${functionName} ${path === "" ? "''" : path}`)}`;
  const commands = subcommands.map(({ name, about }) => `${here} -a ${quoted(name)} -d ${quoted(about)}`);
  // Operands may be paths.
  const files = subcommands.length === 0 ? [`${here} -F`] : [];
  const names = operand === undefined ? [] : [`${here} -a ${quoted(namesFrom(program, `operand:${path}`))}`];
  return [...commands, ...files, ...names, ...options.map((flag) => `${here} ${flagWords(program, flag)}`)];
}

/** Names that the service has, as fish asks for them when it is to offer them. */
const namesFrom = (program: string, where: string): string =>
  `(${program} __complete ${where} (commandline -opc)[2..-1] 2>/dev/null)`;

function flagWords(program: string, { names, about, takesValue, choices, isFile, kind }: Flag): string {
  const words = names.map((name) => (name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
  const offered = kind === undefined ? choices.join(" ") : namesFrom(program, `value:${names[0]}`);
  const value = takesValue ? [isFile ? "-r -F" : "-x", ...(offered === "" ? [] : [`-a ${quoted(offered)}`])] : [];
  return [...words, ...value, `-d ${quoted(about)}`].join(" ");
}

const quoted = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
