import type { Node } from "./command-tree.js";

/** A completion script for bash, 3.2 and later. */
export function bashScript(program: string, nodes: readonly Node[]): string {
  const functionName = `_${program.replaceAll("-", "_")}`;
  const paths = nodes.flatMap(({ path }) => (path === "" ? [] : [path]));
  return `# bash completion of ${program}. To load it: source <(${program} completion bash)
${functionName}() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} at= words= i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$at/\${COMP_WORDS[i]}" in
      ${paths.join("|")}) at="$at/\${COMP_WORDS[i]}" ;;
    esac
  done
  case "$at $prev" in
${nodes.flatMap(valueCases).join("\n")}
  esac
  case "$at" in
${nodes.map(wordCase).join("\n")}
  esac
  case "$cur" in
    -*) words="\${words#*|}" ;;
    *) words="\${words%%|*}" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F ${functionName} ${program}
`;
}

/** What may follow an option that takes a word. */
function valueCases({ path, options }: Node): string[] {
  return options.flatMap(({ names, takesValue, choices }) => {
    if (!takesValue) return [];
    const pattern = names.map((name) => `"${path} ${name}"`).join("|");
    // Without words of its own bash looks for files, which is right for paths and harmless for the rest.
    const words = choices.length > 0 ? `COMPREPLY=($(compgen -W "${choices.join(" ")}" -- "$cur")); ` : "";
    return [`    ${pattern}) ${words}return ;;`];
  });
}

// Commands before the bar, options after it.
function wordCase({ path, subcommands, options }: Node): string {
  const names = subcommands.map(({ name }) => name).join(" ");
  const flags = options.flatMap((flag) => flag.names).join(" ");
  return `    "${path}") words="${names}|${flags}" ;;`;
}
