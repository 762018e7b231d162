/**
 * Completions for fish.
 *
 * @module
 */

import type { Option } from "../args/command.ts";
import { type Kind, type Node, valueKind } from "./tree.ts";

/** The script, to be sourced. */
export function fishScript(name: string, nodes: readonly Node[]): string {
  const paths = nodes.slice(1).map(({ path }) => quoteForFish(path)).join(" ");
  return `# Completions of ${name} for fish: ${name} completions fish | source

function __${name}_at
  set -l at ${name}
  for word in (commandline -opc)[2..-1]
    contains -- "$at $word" ${paths}; or break
    set at "$at $word"
  end
  test "$at" = "$argv[1]"
end

complete -c ${name} -e
complete -c ${name} -f
${nodes.flatMap((node) => nodeLines(name, node)).join("\n")}
`;
}

function nodeLines(name: string, { path, commands, options, operand }: Node): string[] {
  const start = `complete -c ${name} -n ${quoteForFish(`__${name}_at ${quoteForFish(path)}`)}`;
  return [
    ...commands.map(({ name, summary }) => `${start} -a ${name} -d ${quoteForFish(summary)}`),
    ...options.map((option) => `${start} ${optionWords(option)}`),
    ...operand === null || operand.type === "other" ? [] : [`${start} ${values(operand)}`],
  ];
}

function optionWords(option: Option): string {
  const { name, short, summary } = option;
  const kind = valueKind(option);
  return [
    `-l ${name}`,
    ...short ? [`-s ${short}`] : [],
    ...kind === null ? [] : ["-r", values(kind)],
    `-d ${quoteForFish(summary)}`,
  ].join(" ");
}

function values(kind: Kind): string {
  switch (kind.type) {
    case "choices":
      return `-f -a ${quoteForFish(kind.choices.join(" "))}`;
    case "file":
      return "-F";
    case "folder":
      return `-f -a '(__fish_complete_directories)'`;
    case "netns":
      return `-f -a '(command ls /run/netns 2> /dev/null)'`;
    case "device":
      return `-f -a '(command ls /sys/class/net 2> /dev/null)'`;
    case "other":
      return "-f";
  }
}

/** A text between single quotes, where fish knows a backslash. */
function quoteForFish(text: string): string {
  return `'${text.replace(/[\\']/g, "\\$&")}'`;
}
