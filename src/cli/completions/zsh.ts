/**
 * Completions for zsh.
 *
 * @module
 */

import type { Option } from "../args/command.ts";
import { type Kind, type Node, quote, valueKind } from "./tree.ts";

/** The script, to be sourced, or put into a folder of `fpath` with an underscore before its name. */
export function zshScript(name: string, nodes: readonly Node[]): string {
  const paths = nodes.slice(1).map(({ path }) => `"${path}"`).join("|");
  return `#compdef ${name}
# Completions of ${name} for zsh: source <(${name} completions zsh), behind compinit

_${name}_netns() { local -a names=(/run/netns/*(N:t)); compadd -a names }
_${name}_device() { local -a names=(/sys/class/net/*(N:t)); compadd -a names }

_${name}() {
  local at=${name} i
  local -a commands
  for ((i = 2; i < CURRENT; i++)); do
    case "$at \${words[i]}" in
      (${paths}) at="$at \${words[i]}" ;;
      (*) break ;;
    esac
  done
  words=("\${words[1]}" "\${(@)words[i,-1]}")
  ((CURRENT -= i - 2))
  case "$at" in
${nodes.map((node) => nodeCase(name, node)).join("\n")}
  esac
}

if [[ "\${funcstack[1]}" == _${name} ]]; then
  _${name}
else
  compdef _${name} ${name}
fi
`;
}

function nodeCase(name: string, { path, commands, options, operand }: Node): string {
  const specs = options.map((option) => optionSpec(name, option));
  // A message instead of unknown values would keep options from being completed.
  if (operand !== null && operand.type === "other") specs.push(quote("*:operand:false"));
  else if (operand !== null) specs.push(quote(`*:operand:${action(name, operand)}`));
  const call = `_arguments -s -S ${specs.join(" \\\n        ")}`;
  if (commands.length === 0) return `    ("${path}")\n      ${call}\n      ;;`;
  const described = commands.map(({ name, summary }) => quote(`${name}:${summary}`));
  return `    ("${path}")
      if ((CURRENT == 2)) && [[ "\${words[2]}" != -* ]]; then
        commands=(${described.join("\n          ")})
        _describe command commands
      else
        ${call}
      fi
      ;;`;
}

function optionSpec(program: string, option: Option): string {
  const { name, short, summary, many = false, value = "" } = option;
  const kind = valueKind(option);
  const text = `[${escape(summary)}]` +
    (kind === null ? "" : `:${escape(value)}:${action(program, kind)}`);
  const star = many ? "*" : "";
  if (short === undefined) return quote(`${star}--${name}${text}`);
  const excluded = many ? "" : quote(`(-${short} --${name})`);
  return `${excluded}${many ? quote(star) : ""}{-${short},--${name}}${quote(text)}`;
}

/** A text between the colons and brackets of a specification. */
function escape(text: string): string {
  return text.replace(/[\\[\]:]/g, "\\$&");
}

function action(program: string, kind: Kind): string {
  switch (kind.type) {
    case "choices":
      return `(${kind.choices.join(" ")})`;
    case "file":
      return "_files";
    case "folder":
      return "_files -/";
    case "netns":
    case "device":
      return `_${program}_${kind.type}`;
    case "other":
      return " ";
  }
}
