import type { Node } from "./command-tree.js";

/** A completion script for zsh, 5.0 and later. */
export function zshScript(program: string, nodes: readonly Node[]): string {
  const functionName = `_${program.replaceAll("-", "_")}`;
  const paths = nodes.flatMap(({ path }) => (path === "" ? [] : [path]));
  const named = nodes.flatMap(({ path, operand }) => (operand === undefined ? [] : [path]));
  return `#compdef ${program}
# zsh completion of ${program}. To load it: source <(${program} completion zsh)
# Offers names that the service has.
${functionName}_names() {
  local -a names
  names=(\${(f)"$(${program} __complete "$1" "\${(@)words[2,CURRENT-1]}" 2>/dev/null)"})
  (( \${#names} )) && compadd -a names
}
${functionName}() {
  local at= i prev=\${words[CURRENT-1]}
  local -a commands options
  for ((i = 2; i < CURRENT; i++)); do
    case "$at/\${words[i]}" in
      (${paths.join("|")}) at=$at/\${words[i]} ;;
    esac
  done
  case "$at $prev" in
${nodes.flatMap((node) => valueCases(functionName, node)).join("\n")}
  esac
  case "$at" in
${nodes.map(listCase).join("\n")}
  esac
  if [[ $PREFIX == -* ]]; then
    _describe -o option options
  elif (( \${#commands} )); then
    _describe command commands
  else
    case "$at" in
      (${named.join("|")}) ${functionName}_names "operand:$at" || _files ;;
      (*) _files ;;
    esac
  fi
}
compdef ${functionName} ${program}
`;
}

function valueCases(functionName: string, { path, options }: Node): string[] {
  return options.flatMap(({ names, takesValue, choices, isFile, kind }) => {
    if (!takesValue) return [];
    const pattern = names.map((name) => quoted(`${path} ${name}`)).join("|");
    const own = choices.length > 0 ? `compadd -- ${choices.join(" ")}` : ":";
    const offer = isFile ? "_files" : kind === undefined ? own : `${functionName}_names value:${names[0]}`;
    return [`    (${pattern}) ${offer}; return ;;`];
  });
}

function listCase({ path, subcommands, options }: Node): string {
  const commands = subcommands.map(({ name, about }) => quoted(`${name}:${about}`)).join(" ");
  const flags = options.flatMap(({ names, about }) => names.map((name) => quoted(`${name}:${about}`))).join(" ");
  return `    (${quoted(path)}) commands=(${commands}); options=(${flags}) ;;`;
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
