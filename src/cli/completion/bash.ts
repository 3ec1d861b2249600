import type { Node } from "./command-tree.js";

/** A completion script for bash, 3.2 and later. */
export function bashScript(program: string, nodes: readonly Node[]): string {
  const functionName = `_${program.replaceAll("-", "_")}`;
  const paths = nodes.flatMap(({ path }) => (path === "" ? [] : [path]));
  const named = nodes.flatMap(({ path, operand }) => (operand === undefined ? [] : [path]));
  return `# bash completion of ${program}. To load it: source <(${program} completion bash)
# Offers names that the service has. They are compared and never evaluated.
${functionName}_names() {
  local typed=$cur name
  # A word of bash ends at a colon or an equals sign: what stands before it is not offered again.
  if [ -n "\${COMP_LINE-}" ]; then
    typed=\${COMP_LINE:0:COMP_POINT} typed=\${typed##* }
    case "$typed" in --*=*) typed=\${typed#*=} ;; esac
  fi
  local before=\${typed%"\${typed##*:}"}
  while IFS= read -r name; do
    case "$name" in "$typed"*) COMPREPLY+=("\${name#"$before"}") ;; esac
  done < <(${program} __complete "$1" "\${COMP_WORDS[@]:1:COMP_CWORD-1}" 2>/dev/null)
}
${functionName}() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} at= words= i
  COMPREPLY=()
  [ "$prev" = "=" ] && prev=\${COMP_WORDS[COMP_CWORD-2]}
  [ "$cur" = "=" ] && cur=
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$at/\${COMP_WORDS[i]}" in
      ${paths.join("|")}) at="$at/\${COMP_WORDS[i]}" ;;
    esac
  done
  case "$at $prev" in
${nodes.flatMap((node) => valueCases(functionName, node)).join("\n")}
  esac
  case "$at" in
${nodes.map(wordCase).join("\n")}
  esac
  case "$cur" in
    -*) words="\${words#*|}" ;;
    *) words="\${words%%|*}" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  case "$cur" in -*) return ;; esac
  case "$at" in
    ${named.join("|")}) ${functionName}_names "operand:$at" ;;
  esac
}
complete -o default -F ${functionName} ${program}
`;
}

/** What may follow an option that takes a word. */
function valueCases(functionName: string, { path, options }: Node): string[] {
  return options.flatMap(({ names, takesValue, choices, kind }) => {
    if (!takesValue) return [];
    const pattern = names.map((name) => `"${path} ${name}"`).join("|");
    // Without words of its own bash looks for files, which is right for paths and harmless for the rest.
    const words = choices.length > 0 ? `COMPREPLY=($(compgen -W "${choices.join(" ")}" -- "$cur")); ` : "";
    const named = kind === undefined ? "" : `${functionName}_names value:${names[0]}; `;
    return [`    ${pattern}) ${words}${named}return ;;`];
  });
}

// Commands before the bar, options after it.
function wordCase({ path, subcommands, options }: Node): string {
  const names = subcommands.map(({ name }) => name).join(" ");
  const flags = options.flatMap((flag) => flag.names).join(" ");
  return `    "${path}") words="${names}|${flags}" ;;`;
}
