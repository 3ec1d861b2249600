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

function linesOf(program: string, functionName: string, { path, subcommands, options }: Node): string[] {
  const here = `complete -c ${program} -n ${quoted(`${functionName} ${path === "" ? "''" : path}`)}`;
  const commands = subcommands.map(({ name, about }) => `${here} -a ${quoted(name)} -d ${quoted(about)}`);
  // Operands may be paths.
  const files = subcommands.length === 0 ? [`${here} -F`] : [];
  return [...commands, ...files, ...options.map((flag) => `${here} ${flagWords(flag)}`)];
}

function flagWords({ names, about, takesValue, choices, isFile }: Flag): string {
  const words = names.map((name) => (name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
  const value = takesValue
    ? [isFile ? "-r -F" : "-x", ...(choices.length > 0 ? [`-a ${quoted(choices.join(" "))}`] : [])]
    : [];
  return [...words, ...value, `-d ${quoted(about)}`].join(" ");
}

const quoted = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
