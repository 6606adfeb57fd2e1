/**
 * Hosts of a network of a test's own: a hub, and others that reach the hub over a wire each. Each is a network namespace
 * of Linux, with addresses and a TCP stack to itself, so that a wire that is cut loses packets and closes nothing.
 */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";

export const HUB = "hub";

const ip = (...args: readonly string[]): void => {
  execFileSync("ip", args, { stdio: ["ignore", "ignore", "pipe"] });
};

export class Network {
  /** Names of namespaces are the machine's: so they are unique to this network. */
  readonly #prefix = `millrace-${process.pid}-${randomBytes(3).toString("hex")}`;
  readonly #hosts: readonly string[];
  readonly #made: string[] = [];
  /** When the tests end in mid-air, the namespaces go all the same. */
  readonly #atExit = () => this.close();

  /** @throws where namespaces cannot be made; what was made by then is gone */
  constructor(hosts: readonly string[]) {
    this.#hosts = hosts;
    process.once("exit", this.#atExit);
    try {
      for (const host of [HUB, ...hosts]) {
        ip("netns", "add", this.#namespace(host));
        this.#made.push(host);
        ip("-n", this.#namespace(host), "link", "set", "lo", "up");
      }
      for (const host of hosts) this.#lay(host);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The command that runs a program on a host: it becomes that program, so its process id is the program's. */
  on(host: string, command: string, args: readonly string[]): [string, string[]] {
    return ["ip", ["netns", "exec", this.#namespace(host), command, ...args]];
  }

  /** The address at which a host finds the hub. */
  hubFrom(host: string): string {
    return host === HUB ? "127.0.0.1" : this.#addresses(host).hub;
  }

  /** From now on, what is sent over the host's wire is lost. */
  cut(host: string): void {
    ip("-n", this.#namespace(HUB), "link", "set", host, "down");
  }

  heal(host: string): void {
    ip("-n", this.#namespace(HUB), "link", "set", host, "up");
  }

  /** End the programs on the hosts first: a namespace lives on in them. */
  close(): void {
    process.off("exit", this.#atExit);
    for (const host of this.#made.splice(0)) ip("netns", "delete", this.#namespace(host));
  }

  /** The hub's end of a wire has the name of the host. */
  #lay(host: string): void {
    const [near, far] = [this.#namespace(HUB), this.#namespace(host)];
    const addresses = this.#addresses(host);
    ip("link", "add", host, "netns", near, "type", "veth", "peer", "name", HUB, "netns", far);
    ip("-n", near, "address", "add", `${addresses.hub}/24`, "dev", host);
    ip("-n", far, "address", "add", `${addresses.host}/24`, "dev", HUB);
    ip("-n", near, "link", "set", host, "up");
    ip("-n", far, "link", "set", HUB, "up");
  }

  #namespace(host: string): string {
    return `${this.#prefix}-${host}`;
  }

  /** Private addresses, seen in the namespaces alone: a subnet for each wire. */
  #addresses(host: string): { readonly hub: string; readonly host: string } {
    const subnet = `10.77.${this.#hosts.indexOf(host)}`;
    return { hub: `${subnet}.1`, host: `${subnet}.2` };
  }
}

/** Why no network can be made here, such as for want of root; undefined when one can. */
export function whyNoNetwork(): string | undefined {
  if (process.platform !== "linux") return `network namespaces are Linux's, and this is ${process.platform}`;
  try {
    const network = new Network(["probe"]);
    try {
      execFileSync(...network.on("probe", "true", []), { stdio: ["ignore", "ignore", "pipe"] });
    } finally {
      network.close();
    }
    return undefined;
  } catch (error) {
    return `network namespaces cannot be made: ${(error as Error).message.trim().replaceAll("\n", "; ")}`;
  }
}
