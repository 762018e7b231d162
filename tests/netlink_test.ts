import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  GENL_ID_CTRL,
  NETLINK_GENERIC,
  NETLINK_ROUTE,
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLMSG_DONE,
  NLMSG_ERROR,
  RTM_GETADDR,
  RTM_NEWADDR,
} from "../ffi/linux/abi_netlink.ts";
import { ERRNO } from "../ffi/linux/errno.ts";
import { libc } from "../ffi/runtime.ts";
import { MptcpError } from "../mod.ts";
import { hostAddresses } from "../src/kernel/local_addresses.ts";
import { AttributeBuilder, Attributes } from "../src/netlink/attributes.ts";
import { decodeGeneric, lookUpFamily } from "../src/netlink/generic.ts";
import { encodeMessage, outcomeOf, parseMessages } from "../src/netlink/message.ts";
import { NetlinkSocket } from "../src/netlink/socket.ts";
import { decodeEvents } from "../src/path_manager/events.ts";
import { stubLibc } from "./faults.ts";
import { openFds, settledFds, test } from "./harness.ts";
import { missingNamespaces, run } from "./processes.ts";

const types = fc.nat(0x3fff);
const values = fc.uint8Array({ maxLength: 64 });
const datagrams = fc.uint8Array({ maxLength: 4096 });

test("attributes that were put together come apart again", () => {
  fc.assert(fc.property(fc.array(fc.tuple(types, values)), (list) => {
    const builder = new AttributeBuilder();
    for (const [type, value] of list) builder.bytes(type, value);
    const bytes = builder.build();
    assertEquals(bytes.byteLength % 4, 0);
    const { entries } = new Attributes(bytes);
    assertEquals(entries.map(([type, value]) => [type, ...value]), list.map(([t, v]) => [t, ...v]));
  }));
});

test("numbers, texts and nested attributes are read as they were written", () => {
  fc.assert(
    fc.property(fc.nat(255), fc.nat(65535), fc.integer(), fc.string(), (u8, u16, i32, s) => {
      const text = s.replaceAll("\0", "");
      const inner = new AttributeBuilder().u8(1, u8).u16(2, u16).i32(3, i32).u32(4, i32 >>> 0);
      const outer = new Attributes(
        new AttributeBuilder().nested(9, inner).string(10, text).build(),
      );
      const nested = outer.nested(9);
      assertEquals([nested.u8(1), nested.u16(2), nested.i32(3)], [u8, u16, i32]);
      assertEquals([nested.u32(4), nested.be16(2)], [i32 >>> 0, ((u16 & 0xff) << 8) | (u16 >> 8)]);
      assertEquals(outer.string(10), new TextDecoder().decode(new TextEncoder().encode(text)));
    }),
  );
});

test("a value that is missing or too short is undefined", () => {
  const attributes = new Attributes(new AttributeBuilder().bytes(1, Uint8Array.of(7)).build());
  assertEquals([attributes.u8(1), attributes.u16(1), attributes.u32(1)], [7, undefined, undefined]);
  assertEquals([attributes.u8(2), attributes.string(2), attributes.bytes(1, 2)], [
    undefined,
    undefined,
    undefined,
  ]);
  assertEquals(attributes.nested(2).entries, []);
});

test("of two attributes of one type the last counts", () => {
  const attributes = new Attributes(new AttributeBuilder().u8(1, 7).u8(1, 8).build());
  assertEquals(attributes.u8(1), 8);
});

test("any bytes are attributes or none: nothing throws, loops or reads beyond the end", () => {
  fc.assert(
    fc.property(datagrams, fc.nat(16), (bytes, offset) => {
      const part = bytes.subarray(Math.min(offset, bytes.length));
      const { entries } = new Attributes(part);
      let total = 0;
      for (const [type, value] of entries) {
        assert(type <= 0x3fff);
        assert(value.byteOffset >= part.byteOffset);
        assert(value.byteOffset + value.byteLength <= part.byteOffset + part.byteLength);
        total += 4 + value.byteLength;
        new Attributes(value).string(type);
      }
      assert(total <= part.byteLength);
    }),
    { numRuns: 2000 },
  );
});

test("messages that were put together come apart again", () => {
  const messages = fc.array(fc.record({
    type: fc.nat(65535),
    flags: fc.nat(65535),
    seq: fc.nat(0xffffffff),
    payload: values,
  }));
  fc.assert(fc.property(messages, (list) => {
    const parts = list.map(encodeMessage).flatMap((bytes) => {
      const padded = new Uint8Array((bytes.byteLength + 3) & ~3);
      padded.set(bytes);
      return [...padded];
    });
    assertEquals(
      parseMessages(Uint8Array.from(parts)).map((m) => ({ ...m, payload: [...m.payload] })),
      list.map((m) => ({ ...m, payload: [...m.payload] })),
    );
  }));
});

test("any bytes are messages, outcomes and events or none", () => {
  fc.assert(
    fc.property(datagrams, (bytes) => {
      for (const message of parseMessages(bytes)) {
        const outcome = outcomeOf(message);
        if (outcome !== null) assertEquals(typeof outcome.text, "string");
        decodeGeneric(message);
      }
      decodeEvents(bytes);
    }),
    { numRuns: 2000 },
  );
});

test("an event with any of its bytes changed is an event or none", () => {
  const attributes = new AttributeBuilder().u32(1, 5).u16(2, 2).bytes(5, new Uint8Array(4)).u8(3, 1)
    .bytes(7, new Uint8Array(4)).u16(9, 80).u16(10, 443).nested(
      20,
      new AttributeBuilder().u8(1, 1),
    );
  const payload = Uint8Array.from([10, 1, 0, 0, ...attributes.build()]);
  const bytes = encodeMessage({ type: 28, flags: 0, seq: 0, payload });
  const [whole] = decodeEvents(bytes);
  assertEquals(whole?.type, "subflow-established");
  const changes = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { maxLength: 6 });
  fc.assert(
    fc.property(changes, fc.nat(bytes.length), (changes, length) => {
      const changed = bytes.slice(0, bytes.length - (length % 8));
      for (const [at, value] of changes) if (at < changed.length) changed[at] = value;
      for (const event of decodeEvents(changed)) assertEquals(typeof event.type, "string");
    }),
    { numRuns: 5000 },
  );
});

test("any payload in a well-formed message is an outcome or an event", () => {
  const flags = fc.constantFrom(0, NLM_F_CAPPED, NLM_F_ACK_TLVS, NLM_F_ACK_TLVS | NLM_F_CAPPED);
  const type = fc.constantFrom(NLMSG_ERROR, NLMSG_DONE, 28);
  fc.assert(
    fc.property(type, flags, fc.uint8Array({ maxLength: 128 }), (type, flags, payload) => {
      const message = { type, flags, seq: 1, payload };
      const outcome = outcomeOf(message);
      assertEquals(outcome === null, type === 28);
      for (const event of decodeEvents(encodeMessage(message))) assert(event.type.length > 0);
    }),
    { numRuns: 2000 },
  );
});

test("the text of an error is found behind a request that is repeated and one that is not", () => {
  const text = new AttributeBuilder().string(1, "no such thing").build();
  const request = encodeMessage({ type: 28, flags: 5, seq: 7, payload: new Uint8Array(21) });
  const padded = new Uint8Array(40);
  padded.set(request);
  for (const [repeated, flags] of [[padded, 0], [request.subarray(0, 16), NLM_F_CAPPED]] as const) {
    const payload = Uint8Array.from([
      ...new Uint8Array(Int32Array.of(-22).buffer),
      ...repeated,
      ...text,
    ]);
    const outcome = outcomeOf({
      type: NLMSG_ERROR,
      flags: flags | NLM_F_ACK_TLVS,
      seq: 7,
      payload,
    });
    assertEquals(outcome, { result: -22, text: "no such thing" });
  }
});

test("the controller knows its own family and no unknown one", () => {
  using socket = new NetlinkSocket(NETLINK_GENERIC);
  const controller = lookUpFamily(socket, "nlctrl");
  assert(typeof controller !== "number");
  assertEquals([controller.id, controller.groups.has("notify")], [GENL_ID_CTRL, true]);
  assertEquals(lookUpFamily(socket, "no-such-family"), -ERRNO.ENOENT);
});

test("a refusal leaves the socket good for the next request", () => {
  using socket = new NetlinkSocket(NETLINK_GENERIC);
  for (let i = 0; i < 50; i++) {
    assertEquals(
      socket.request(GENL_ID_CTRL, Uint8Array.of(99, 1, 0, 0)).result,
      -ERRNO.EOPNOTSUPP,
    );
    assert(typeof lookUpFamily(socket, "nlctrl") !== "number");
  }
});

test("answers to a request that broke off are not taken for the answer to the next", () => {
  using socket = new NetlinkSocket(NETLINK_GENERIC);
  const { recv } = libc();
  {
    using _ = stubLibc({ recv: () => -ERRNO.ENOMEM });
    assertThrows(
      () => lookUpFamily(socket, "no-such-family"),
      MptcpError,
      "Cannot allocate memory",
    );
  }
  assertEquals(libc().recv, recv);
  assert(typeof lookUpFamily(socket, "nlctrl") !== "number");
});

test("calls that are interrupted are made again", () => {
  const { send, recv } = libc();
  let interruptions = 0;
  const every = (call: typeof send): typeof send => (...args) => {
    return interruptions++ % 2 === 0 ? -ERRNO.EINTR : call(...args);
  };
  using _ = stubLibc({ send: every(send), recv: every(recv) });
  using socket = new NetlinkSocket(NETLINK_GENERIC);
  assert(typeof lookUpFamily(socket, "nlctrl") !== "number");
  assert(interruptions >= 4);
});

test("a kernel that does not answer, and a datagram without an answer, are errors and no hang", () => {
  const { recv } = libc();
  using socket = new NetlinkSocket(NETLINK_GENERIC);
  for (const size of [0, 3, 15, 16, 40]) {
    let calls = 0;
    using _ = stubLibc({
      recv: (...args) => ++calls > 3 ? recv(...args) : Math.min(size, args[1].fill(0).length),
    });
    // The real answer comes after three datagrams of nothing.
    assert(typeof lookUpFamily(socket, "nlctrl") !== "number");
    assertEquals(calls > 3, true);
  }
  using _ = stubLibc({ recv: () => -ERRNO.EAGAIN });
  const error = assertThrows(() => lookUpFamily(socket, "nlctrl"), MptcpError, "kernel's answer");
  assertEquals(error.code, "EAGAIN");
});

test("a datagram that is longer than its buffer is an error, not half an answer", () => {
  const { recv } = libc();
  using socket = new NetlinkSocket(NETLINK_GENERIC);
  using _ = stubLibc({ recv: (...args) => recv(...args) < 0 ? -ERRNO.EAGAIN : 1 << 20 });
  const error = assertThrows(() => lookUpFamily(socket, "nlctrl"), MptcpError);
  assertEquals(error.code, "EMSGSIZE");
});

test("a dump that was interrupted is asked for again", () => {
  const { recv } = libc();
  let dumps = 0;
  using _ = stubLibc({
    recv(fd, buf, length, flags) {
      const result = recv(fd, buf, length, flags);
      const view = new DataView(buf.buffer, buf.byteOffset);
      // NLM_F_DUMP_INTR on what the first dump lists, and on the end of the second.
      if (view.getUint16(4, true) === RTM_NEWADDR && dumps < 1) view.setUint16(6, 0x12, true);
      if (view.getUint16(4, true) === NLMSG_DONE && ++dumps === 2) view.setUint16(6, 0x12, true);
      return result;
    },
  });
  using socket = new NetlinkSocket(NETLINK_ROUTE);
  const { result, interrupted } = socket.dump(RTM_GETADDR, new Uint8Array(8));
  assertEquals([result, dumps, interrupted], [0, 3, false]);
});

test("no netlink socket is left open by an error in opening it", async () => {
  const before = await settledFds();
  const { connect } = libc();
  {
    using _ = stubLibc({ connect: () => -ERRNO.EPERM });
    assertThrows(() => new NetlinkSocket(NETLINK_GENERIC), MptcpError, "reach the kernel");
  }
  assertEquals(libc().connect, connect);
  using _ = stubLibc({ socket: () => -ERRNO.EMFILE });
  const error = assertThrows(() => new NetlinkSocket(NETLINK_GENERIC), MptcpError);
  assertEquals([error.code, openFds()], ["EMFILE", before]);
});

interface IpAddress {
  addr_info: { local: string; scope: string; family: string }[];
  ifname: string;
}

test("the addresses of this host are those that ip shows", { skip: missingNamespaces() }, () => {
  const shown = (JSON.parse(run("ip", ["-j", "addr"])) as IpAddress[])
    .flatMap(({ ifname, addr_info }) =>
      addr_info.map(({ local, scope, family }) => ({
        address: local,
        family: family === "inet" ? 4 : 6,
        device: ifname,
        global: scope === "global",
      }))
    );
  const byText = (a: { address: string }, b: { address: string }) => a.address < b.address ? -1 : 1;
  assertEquals([...hostAddresses()].sort(byText) as unknown[], shown.sort(byText));
});
