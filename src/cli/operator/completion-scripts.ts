import type { Flag, Node } from "./completion.js";

/** A completion script for bash, 3.2 and later. */
export function bashScript(program: string, nodes: readonly Node[]): string {
  const functionName = `_${program.replaceAll("-", "_")}`;
  const paths = nodes.flatMap(({ path }) => (path === "" ? [] : [path]));
  const named = nodes.flatMap(({ path, operand }) => (operand === undefined ? [] : [path]));
  return `# bash completion of ${program}. To load it: source <(${program} completion bash)
# Offers names from the service. They are compared and never evaluated.
${functionName}_names() {
  local typed=$cur name
  # bash splits words at a colon or an equals sign: the part before it is not offered again.
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
${nodes.flatMap((node) => bashValueCases(functionName, node)).join("\n")}
  esac
  case "$at" in
${nodes.map(bashWordCase).join("\n")}
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

function bashValueCases(functionName: string, { path, options }: Node): string[] {
  return options.flatMap(({ names, takesValue, choices, kind }) => {
    if (!takesValue) return [];
    const pattern = names.map((name) => `"${path} ${name}"`).join("|");
    // Without choices bash offers files, which is right for paths and harmless otherwise.
    const words = choices.length > 0 ? `COMPREPLY=($(compgen -W "${choices.join(" ")}" -- "$cur")); ` : "";
    const named = kind === undefined ? "" : `${functionName}_names value:${names[0]}; `;
    return [`    ${pattern}) ${words}${named}return ;;`];
  });
}

// Commands before the bar, options after it.
function bashWordCase({ path, subcommands, options }: Node): string {
  const names = subcommands.map(({ name }) => name).join(" ");
  const flags = options.flatMap((flag) => flag.names).join(" ");
  return `    "${path}") words="${names}|${flags}" ;;`;
}

/** A completion script for zsh, 5.0 and later. */
export function zshScript(program: string, nodes: readonly Node[]): string {
  const functionName = `_${program.replaceAll("-", "_")}`;
  const paths = nodes.flatMap(({ path }) => (path === "" ? [] : [path]));
  const named = nodes.flatMap(({ path, operand }) => (operand === undefined ? [] : [path]));
  return `#compdef ${program}
# zsh completion of ${program}. To load it: source <(${program} completion zsh)
# Offers names from the service.
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
${nodes.flatMap((node) => zshValueCases(functionName, node)).join("\n")}
  esac
  case "$at" in
${nodes.map(zshListCase).join("\n")}
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

function zshValueCases(functionName: string, { path, options }: Node): string[] {
  return options.flatMap(({ names, takesValue, choices, isFile, kind }) => {
    if (!takesValue) return [];
    const pattern = names.map((name) => inSingleQuotes(`${path} ${name}`)).join("|");
    const own = choices.length > 0 ? `compadd -- ${choices.join(" ")}` : ":";
    const offer = isFile ? "_files" : kind === undefined ? own : `${functionName}_names value:${names[0]}`;
    return [`    (${pattern}) ${offer}; return ;;`];
  });
}

function zshListCase({ path, subcommands, options }: Node): string {
  const commands = subcommands.map(({ name, about }) => inSingleQuotes(`${name}:${about}`)).join(" ");
  const flags = options
    .flatMap(({ names, about }) => names.map((name) => inSingleQuotes(`${name}:${about}`)))
    .join(" ");
  return `    (${inSingleQuotes(path)}) commands=(${commands}); options=(${flags}) ;;`;
}

const inSingleQuotes = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

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
${nodes.flatMap((node) => fishLines(program, functionName, node)).join("\n")}
`;
}

function fishLines(program: string, functionName: string, { path, operand, subcommands, options }: Node): string[] {
  const here = `complete -c ${program} -n ${inFishQuotes(`${functionName} ${path === "" ? "''" : path}`)}`;
  const commands = subcommands.map(({ name, about }) => `${here} -a ${inFishQuotes(name)} -d ${inFishQuotes(about)}`);
  // Operands may be paths.
  const files = subcommands.length === 0 ? [`${here} -F`] : [];
  const names = operand === undefined ? [] : [`${here} -a ${inFishQuotes(fishNames(program, `operand:${path}`))}`];
  return [...commands, ...files, ...names, ...options.map((flag) => `${here} ${fishFlag(program, flag)}`)];
}

/** The command with which fish gets names from the service. */
const fishNames = (program: string, where: string): string =>
  `(${program} __complete ${where} (commandline -opc)[2..-1] 2>/dev/null)`;

function fishFlag(program: string, { names, about, takesValue, choices, isFile, kind }: Flag): string {
  const words = names.map((name) => (name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
  const offered = kind === undefined ? choices.join(" ") : fishNames(program, `value:${names[0]}`);
  const value = takesValue ? [isFile ? "-r -F" : "-x", ...(offered === "" ? [] : [`-a ${inFishQuotes(offered)}`])] : [];
  return [...words, ...value, `-d ${inFishQuotes(about)}`].join(" ");
}

const inFishQuotes = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
