/**
 * The endpoints that belong to this machine's paths: made, marked, and removed again, while those that
 * others made are left alone.
 *
 * @module
 */

import { now } from "../../../ffi/event_loop.ts";
import { MptcpError } from "../../error.ts";
import {
  addEndpoint,
  listEndpoints,
  removeEndpoint,
  setEndpointFlags,
} from "../../kernel/endpoints.ts";
import { getLimits, setLimits } from "../../kernel/limits.ts";
import type { KernelPathManager } from "../../kernel/mptcp_pm.ts";
import type { Endpoint, EndpointFlags, PathManagerLimits } from "../../kernel/types.ts";
import type { Candidate } from "./candidates.ts";

/** An endpoint of this keeper. */
export interface Made {
  readonly id: number;
  readonly address: string;
  readonly device: string;
  /** The index of the interface: another one may get the name. */
  readonly link: number;
  backup: boolean;
  /** Since when its address or its route is gone; undefined while it works. */
  leavingSince: number | undefined;
}

/** What became of an attempt to make an endpoint. */
export type Outcome =
  | { readonly state: "made"; readonly made: Made; readonly isNew: boolean }
  | { readonly state: "foreign"; readonly endpoint: Endpoint }
  | { readonly state: "failed"; readonly error: MptcpError };

/** The most that the kernel allows. */
const MOST = 8;

/** See the module's documentation. */
export class EndpointKeeper {
  readonly #kernel: KernelPathManager;
  readonly #netns: string | undefined;
  readonly #flags: EndpointFlags;
  readonly #bindDevice: boolean;
  readonly #made: Map<string, Made> = new Map();
  #limitsBefore: PathManagerLimits | null = null;
  #limitsSet: PathManagerLimits | null = null;

  /** `flags` are those of every endpoint, beside `backup`. */
  constructor(
    kernel: KernelPathManager,
    { netns, flags, bindDevice }: {
      netns: string | undefined;
      flags: EndpointFlags;
      bindDevice: boolean;
    },
  ) {
    this.#kernel = kernel;
    this.#netns = netns;
    this.#flags = flags;
    this.#bindDevice = bindDevice;
  }

  /** What was made, by address. */
  get made(): ReadonlyMap<string, Made> {
    return this.#made;
  }

  /** What the kernel has now. Missing ones that this made were removed by another program. */
  list(): Endpoint[] {
    const endpoints = listEndpoints(this.#kernel, this.#netns);
    for (const [address, { id }] of this.#made) {
      if (!endpoints.some((endpoint) => endpoint.id === id && endpoint.address === address)) {
        this.#made.delete(address);
      }
    }
    return endpoints;
  }

  /** Makes an endpoint unless there is one. `endpoints` is what {@linkcode list} has just given. */
  ensure(candidate: Candidate, backup: boolean, endpoints: readonly Endpoint[]): Outcome {
    const address = candidate.address!;
    const known = this.#made.get(address);
    if (known !== undefined && known.link === candidate.link) {
      return { state: "made", made: known, isNew: false };
    }
    // Its interface was replaced: no subflow of it can work any more.
    if (known !== undefined) this.remove(address);
    const other = endpoints.find((endpoint) => endpoint.address === address && !endpoint.implicit);
    if (other !== undefined && other.id !== known?.id) return { state: "foreign", endpoint: other };
    try {
      const { id } = addEndpoint(this.#kernel, {
        ...this.#flags,
        address,
        backup,
        ...(this.#bindDevice && { device: candidate.device }),
      }, this.#netns);
      const { device, link } = candidate;
      const made: Made = { id, address, device, link, backup, leavingSince: undefined };
      this.#made.set(address, made);
      return { state: "made", made, isNew: true };
    } catch (error) {
      if (!(error instanceof MptcpError)) throw error;
      return { state: "failed", error };
    }
  }

  /** Notes that a path is gone, or back. */
  setLeaving(made: Made, leaving: boolean): void {
    made.leavingSince = leaving ? made.leavingSince ?? now() : undefined;
  }

  /** Marks an endpoint as backup, or not. Connections follow at once. */
  setBackup(address: string, backup: boolean): void {
    const made = this.#made.get(address);
    if (made === undefined || made.backup === backup) return;
    setEndpointFlags(this.#kernel, made.id, address, { ...this.#flags, backup });
    made.backup = backup;
  }

  /** Removes an endpoint that was made here. */
  remove(address: string): void {
    const made = this.#made.get(address);
    if (made === undefined) return;
    this.#made.delete(address);
    // Its id may have gone to another address meanwhile.
    const { id } = made;
    if (!this.#isThere(id, address)) return;
    removeEndpoint(this.#kernel, id);
  }

  #isThere(id: number, address: string): boolean {
    return listEndpoints(this.#kernel, this.#netns)
      .some((endpoint) => endpoint.id === id && endpoint.address === address);
  }

  /** Raises the limits to what several paths need. */
  raiseLimits(accept: boolean): PathManagerLimits | null {
    const before = getLimits(this.#kernel);
    const wanted: PathManagerLimits = {
      subflows: MOST,
      addAddrAccepted: accept ? MOST : before.addAddrAccepted,
    };
    if (before.subflows >= wanted.subflows && before.addAddrAccepted >= wanted.addAddrAccepted) {
      return null;
    }
    this.#limitsBefore ??= before;
    return this.#limitsSet = setLimits(this.#kernel, wanted);
  }

  /** The limits now. */
  limits(): PathManagerLimits {
    return getLimits(this.#kernel);
  }

  /** Removes all that was made here, and puts the limits back unless somebody else has changed them. */
  close(): void {
    for (const address of [...this.#made.keys()]) this.remove(address);
    const [before, set] = [this.#limitsBefore, this.#limitsSet];
    if (before === null || set === null) return;
    this.#limitsBefore = this.#limitsSet = null;
    const is = getLimits(this.#kernel);
    if (is.subflows === set.subflows && is.addAddrAccepted === set.addAddrAccepted) {
      setLimits(this.#kernel, before);
    }
  }
}
