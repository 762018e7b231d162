/**
 * Completions for bash.
 *
 * @module
 */

import { type Kind, type Node, quote, valueKind } from "./tree.ts";

/** The script, to be sourced. */
export function bashScript(name: string, nodes: readonly Node[]): string {
  const paths = nodes.slice(1).map(({ path }) => `"${path}"`).join(" | ");
  return `# Completions of ${name} for bash: source <(${name} completions bash)

_${name}() {
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]} at=${name} i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$at \${COMP_WORDS[i]}" in
      ${paths}) at="$at \${COMP_WORDS[i]}" ;;
      *) break ;;
    esac
  done
  COMPREPLY=()
  case "$at $before" in
${nodes.flatMap(valueCases).join("\n")}
  esac
  if [[ $current == -* ]]; then
    case "$at" in
${nodes.map(optionCase).join("\n")}
    esac
    return
  fi
  case "$at" in
${nodes.flatMap(wordCases).join("\n")}
  esac
}

complete -F _${name} ${name}
`;
}

function valueCases({ path, options }: Node): string[] {
  return options.flatMap((option) => {
    const kind = valueKind(option);
    if (kind === null) return [];
    const names = [
      `"${path} --${option.name}"`,
      ...option.short ? [`"${path} -${option.short}"`] : [],
    ];
    const body = kind.type === "other" ? "return" : `${reply(kind)}\n      return`;
    return [`    ${names.join(" | ")})\n      ${body}\n      ;;`];
  });
}

function optionCase({ path, options }: Node): string {
  const names = options.flatMap(({ name, short }) => [`--${name}`, ...short ? [`-${short}`] : []]);
  return `      "${path}") ${words(names)} ;;`;
}

function wordCases({ path, commands, operand }: Node): string[] {
  if (commands.length > 0) return [`    "${path}") ${words(commands.map(({ name }) => name))} ;;`];
  return operand === null ? [] : [`    "${path}") ${reply(operand)} ;;`];
}

function words(all: readonly string[]): string {
  return `mapfile -t COMPREPLY < <(compgen -W ${quote(all.join(" "))} -- "$current")`;
}

function reply(kind: Kind): string {
  switch (kind.type) {
    case "choices":
      return words(kind.choices);
    case "file":
      return `compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current")`;
    case "folder":
      return `compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$current")`;
    case "netns":
      return namesIn("/run/netns");
    case "device":
      return namesIn("/sys/class/net");
    case "other":
      return ":";
  }
}

function namesIn(folder: string): string {
  const names = `$(command ls ${folder} 2> /dev/null)`;
  return `mapfile -t COMPREPLY < <(compgen -W "${names}" -- "$current")`;
}
