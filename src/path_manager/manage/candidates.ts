/**
 * Which addresses of a machine could be paths, and what is missing for the others.
 *
 * @module
 */

import type { Link, LinkAddress, Network, Route } from "../../kernel/network.ts";
import { type Matcher, matcherOf } from "./patterns.ts";
import type { MissingPart, PathRole } from "./types.ts";

/** An address that could be a path, or an interface without one. */
export interface Candidate {
  /** The index of the interface. */
  readonly link: number;
  readonly device: string;
  readonly address: string | undefined;
  readonly family: 4 | 6 | undefined;
  readonly role: PathRole | undefined;
  /** Why it is left out; undefined where it is not. */
  readonly excluded: string | undefined;
  /** Empty where nothing is missing. */
  readonly missing: readonly MissingPart[];
  readonly gateway: string | undefined;
  /** The length of the prefix that is on the link. */
  readonly prefix: number;
  /** Whether connections start on it. */
  readonly preferred: boolean;
}

/** What is chosen, with the patterns read. */
export interface Selection {
  readonly include: readonly Matcher[] | null;
  readonly exclude: readonly Matcher[];
  readonly roles: readonly (readonly [Matcher, PathRole])[];
}

const ROLES: readonly string[] = ["primary", "backup", "metered"] satisfies PathRole[];

/**
 * Reads the patterns.
 *
 * @throws {TypeError} for one that makes no sense.
 */
export function selectionOf(options: {
  include?: readonly string[] | undefined;
  exclude?: readonly string[] | undefined;
  roles?: Readonly<Record<string, PathRole>> | undefined;
}): Selection {
  const { include, exclude = [], roles = {} } = options;
  return {
    include: include === undefined ? null : include.map(matcherOf),
    exclude: exclude.map(matcherOf),
    roles: Object.entries(roles).map(([pattern, role]) => {
      if (ROLES.includes(role)) return [matcherOf(pattern), role] as const;
      throw new TypeError(
        `Invalid role of "${pattern}": expected ${ROLES.join(", ")}, got ${JSON.stringify(role)}`,
      );
    }),
  };
}

/** Interfaces of containers, virtual machines and tunnels, which are no ways of their own. */
const VIRTUAL_NAMES =
  /^(docker|br-[0-9a-f]{12}$|veth|virbr|vnet|lxc|lxd|incus|cni|flannel|cali|cilium|kube|podman|nerdctl|tun|tap|wg|tailscale|zt|nebula|ifb|dummy)/;
const VIRTUAL_KINDS: readonly string[] = [
  "veth",
  "tun",
  "wireguard",
  "dummy",
  "ifb",
  "ipip",
  "gre",
  "gretap",
  "sit",
  "ip6tnl",
  "vxlan",
  "geneve",
  "netkit",
  "nlmon",
  "vcan",
];

/** All candidates of a network, the preferred one first. */
export function findCandidates(network: Network, selection: Selection): Candidate[] {
  const found = network.links.flatMap((link) => candidatesOn(link, network, selection));
  const complete = requireWaysOut(found, network);
  const best = preferredDevice(complete, network);
  return complete
    .map((candidate) => ({
      ...candidate,
      preferred: (candidate.role === "primary" || candidate.device === best) &&
        isFirst(candidate, complete),
    }))
    .toSorted((a, b) => Number(b.preferred) - Number(a.preferred) || a.link - b.link);
}

type Found = Omit<Candidate, "preferred">;

function candidatesOn(link: Link, { addresses }: Network, selection: Selection): Found[] {
  const own = addresses.filter((address) => address.link === link.index && address.global);
  const chosen = ([4, 6] as const).flatMap((family) => addressOf(own, family, link, selection));
  if (chosen.length > 0) return chosen.map((address) => toCandidate(link, address, selection));
  return link.loopback ? [] : [toCandidate(link, undefined, selection)];
}

/** One address of a family is enough: more of them lead the same way. Those that are named are all used. */
function addressOf(
  addresses: readonly LinkAddress[],
  family: 4 | 6,
  link: Link,
  { include }: Selection,
): LinkAddress[] {
  const own = addresses.filter((address) => address.family === family);
  const named = own.filter(({ address }) =>
    include?.some((matches) =>
      matches({ device: "", address }) && !matches({ device: link.name, address: undefined })
    )
  );
  if (named.length > 0) return named;
  const rank = ({ usable, secondary }: LinkAddress) => Number(!usable) * 2 + Number(secondary);
  return own.toSorted((a, b) => rank(a) - rank(b)).slice(0, 1);
}

function toCandidate(link: Link, address: LinkAddress | undefined, selection: Selection): Found {
  const what = { device: link.name, address: address?.address };
  const role = selection.roles.find(([matches]) => matches(what))?.[1];
  return {
    link: link.index,
    device: link.name,
    address: address?.address,
    family: address?.family,
    prefix: address?.prefix ?? 0,
    role,
    excluded: exclusion(link, what, selection),
    missing: missingOf(link, address),
    gateway: undefined,
  };
}

function exclusion(
  link: Link,
  what: { device: string; address: string | undefined },
  { include, exclude }: Selection,
): string | undefined {
  if (exclude.some((matches) => matches(what))) return "excluded by an option";
  if (include !== null) {
    return include.some((matches) => matches(what))
      ? undefined
      : "does not match an included pattern";
  }
  if (link.loopback) return "the loopback interface does not lead to other hosts";
  const isVirtual = VIRTUAL_NAMES.test(link.name) || VIRTUAL_KINDS.includes(link.kind ?? "");
  return isVirtual
    ? `interfaces of containers and tunnels${
      link.kind === undefined ? "" : ` (${link.kind})`
    } must be included by name`
    : undefined;
}

function missingOf(link: Link, address: LinkAddress | undefined): MissingPart[] {
  if (!link.up) {
    return [{
      text: `${link.name} is down, or has no carrier`,
      commands: [`ip link set ${link.name} up`],
    }];
  }
  if (address === undefined) {
    return [{
      text: `${link.name} has no address that is valid beyond its link`,
      commands: [`ip address add ADDRESS/PREFIX dev ${link.name}`],
    }];
  }
  if (address.usable) return [];
  return [{
    text: `${address.address} cannot be used: it is tentative, a duplicate or deprecated`,
    commands: [],
  }];
}

/** Adds what routes say: the gateway, and that there is none. */
function requireWaysOut(found: readonly Found[], { routes }: Network): Found[] {
  const ways = found.map((candidate) => routesOf(candidate, routes));
  const leadsOut = (family: number | undefined) =>
    found.some((candidate, i) =>
      candidate.excluded === undefined && candidate.family === family && ways[i]!.some(isWayOut)
    );
  return found.map((candidate, i) => {
    const own = ways[i]!;
    const gateway = bestOf(own.filter(({ destination }) => destination === null))?.gateway ??
      own.find((route) => route.gateway !== undefined)?.gateway;
    const usable = candidate.address !== undefined && candidate.missing.length === 0;
    if (!usable || own.some(isWayOut)) return { ...candidate, gateway };
    // Where nothing leads beyond its link, the links themselves are what connections go over.
    if (own.length > 0 && !leadsOut(candidate.family)) return { ...candidate, gateway };
    return { ...candidate, gateway, missing: [noRoute(candidate)] };
  });
}

/** Two addresses of one interface are one way: subflows from both would only share it. */
function isFirst({ link, address }: Found, all: readonly Found[]): boolean {
  return all.find((other) =>
    other.link === link && other.address !== undefined && other.missing.length === 0
  )?.address === address;
}

function routesOf({ link, family }: Found, routes: readonly Route[]): Route[] {
  return routes.filter((route) =>
    route.link === link && route.family === family && !isLinkLocal(route)
  );
}

function isLinkLocal({ destination, family }: Route): boolean {
  return family === 6 && destination !== null && /^(fe8|ff)/.test(destination);
}

/** Whether a route leads beyond the network of the link. */
function isWayOut({ destination, gateway }: Route): boolean {
  return destination === null || gateway !== undefined;
}

function noRoute({ device, family, address }: Found): MissingPart {
  const ip = family === 6 ? "ip -6" : "ip";
  return {
    text: `there is no route from ${address} via ${device}`,
    commands: [`${ip} route add default via GATEWAY dev ${device} metric 1000`],
  };
}

function bestOf(routes: readonly Route[]): Route | undefined {
  return routes.toSorted((a, b) => a.metric - b.metric)[0];
}

/** The interface that connections go out by, unless the options name another. */
function preferredDevice(
  candidates: readonly Found[],
  { routes, links }: Network,
): string | undefined {
  const usable = candidates.filter(({ address, excluded, missing, role }) =>
    address !== undefined && excluded === undefined && missing.length === 0 &&
    (role === undefined || role === "primary")
  );
  if (usable.some(({ role }) => role === "primary")) return undefined;
  for (const family of [4, 6]) {
    const defaults = routes.filter((route) =>
      route.destination === null && route.family === family &&
      usable.some((candidate) => candidate.link === route.link && candidate.family === family)
    );
    const best = bestOf(defaults);
    if (best !== undefined) return links.find(({ index }) => index === best.link)?.name;
  }
  return usable.toSorted((a, b) => a.link - b.link)[0]?.device;
}
