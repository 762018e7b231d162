/**
 * errno by number and by name: asm-generic/errno-base.h and asm-generic/errno.h, which x86-64 and
 * aarch64 share.
 *
 * @module
 */

/** errno numbers by their C names: those that a socket, a descriptor or a namespace can give. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOTTY: 25,
  EFBIG: 27,
  ENOSPC: 28,
  EPIPE: 32,
  EDOM: 33,
  ERANGE: 34,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ELOOP: 40,
  ENONET: 64,
  EPROTO: 71,
  EBADMSG: 74,
  EOVERFLOW: 75,
  ENOTSOCK: 88,
  EDESTADDRREQ: 89,
  EMSGSIZE: 90,
  EPROTOTYPE: 91,
  ENOPROTOOPT: 92,
  EPROTONOSUPPORT: 93,
  ESOCKTNOSUPPORT: 94,
  EOPNOTSUPP: 95,
  EPFNOSUPPORT: 96,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETDOWN: 100,
  ENETUNREACH: 101,
  ENETRESET: 102,
  ECONNABORTED: 103,
  ECONNRESET: 104,
  ENOBUFS: 105,
  EISCONN: 106,
  ENOTCONN: 107,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EHOSTDOWN: 112,
  EHOSTUNREACH: 113,
  EALREADY: 114,
  EINPROGRESS: 115,
  EUSERS: 87,
  ECANCELED: 125,
} as const;

/** The C name of an errno. */
export type ErrnoName = keyof typeof ERRNO;

const TEXT: Readonly<Record<ErrnoName, string>> = {
  EPERM: "Operation not permitted",
  ENOENT: "No such file or directory",
  ESRCH: "No such process",
  EINTR: "Interrupted system call",
  EIO: "Input/output error",
  ENXIO: "No such device or address",
  EBADF: "Bad file descriptor",
  EAGAIN: "Resource temporarily unavailable",
  ENOMEM: "Cannot allocate memory",
  EACCES: "Permission denied",
  EFAULT: "Bad address",
  EBUSY: "Device or resource busy",
  EEXIST: "File exists",
  ENODEV: "No such device",
  ENOTDIR: "Not a directory",
  EISDIR: "Is a directory",
  EINVAL: "Invalid argument",
  ENFILE: "Too many open files in system",
  EMFILE: "Too many open files",
  ENOTTY: "Inappropriate ioctl for device",
  EFBIG: "File too large",
  ENOSPC: "No space left on device",
  EPIPE: "Broken pipe",
  EDOM: "Numerical argument out of domain",
  ERANGE: "Numerical result out of range",
  ENAMETOOLONG: "File name too long",
  ENOSYS: "Function not implemented",
  ELOOP: "Too many levels of symbolic links",
  ENONET: "Machine is not on the network",
  EPROTO: "Protocol error",
  EBADMSG: "Bad message",
  EOVERFLOW: "Value too large for defined data type",
  ENOTSOCK: "Socket operation on non-socket",
  EDESTADDRREQ: "Destination address required",
  EMSGSIZE: "Message too long",
  EPROTOTYPE: "Protocol wrong type for socket",
  ENOPROTOOPT: "Protocol not available",
  EPROTONOSUPPORT: "Protocol not supported",
  ESOCKTNOSUPPORT: "Socket type not supported",
  EOPNOTSUPP: "Operation not supported",
  EPFNOSUPPORT: "Protocol family not supported",
  EAFNOSUPPORT: "Address family not supported by protocol",
  EADDRINUSE: "Address already in use",
  EADDRNOTAVAIL: "Cannot assign requested address",
  ENETDOWN: "Network is down",
  ENETUNREACH: "Network is unreachable",
  ENETRESET: "Network dropped connection on reset",
  ECONNABORTED: "Software caused connection abort",
  ECONNRESET: "Connection reset by peer",
  ENOBUFS: "No buffer space available",
  EISCONN: "Transport endpoint is already connected",
  ENOTCONN: "Transport endpoint is not connected",
  ETIMEDOUT: "Connection timed out",
  ECONNREFUSED: "Connection refused",
  EHOSTDOWN: "Host is down",
  EHOSTUNREACH: "No route to host",
  EALREADY: "Operation already in progress",
  EINPROGRESS: "Operation now in progress",
  EUSERS: "Too many users",
  ECANCELED: "Operation canceled",
};

const NAME_BY_NUMBER = new Map<number, ErrnoName>(
  Object.entries(ERRNO).map(([name, errno]) => [errno, name as ErrnoName]),
);

/** "ECONNREFUSED" for 111; "E111" style for a number that this table does not have. */
export function errnoName(errno: number): string {
  return NAME_BY_NUMBER.get(errno) ?? `E${errno}`;
}

/** "Connection refused (os error 111)", as Deno words it. */
export function errnoText(errno: number): string {
  const name = NAME_BY_NUMBER.get(errno);
  return `${name === undefined ? "Unknown error" : TEXT[name]} (os error ${errno})`;
}

/** The same for a name and its number on this system, which need not be Linux; `null` if unknown. */
export function errorText(code: string, errno: number): string | null {
  const text = TEXT[code as ErrnoName];
  return text === undefined ? null : `${text} (os error ${errno})`;
}

/** netdb.h: what `getaddrinfo` returns, and the `code` for it (Node's names, which users know). */
const EAI: Readonly<Record<number, readonly [code: string, text: string]>> = {
  [-1]: ["EAI_BADFLAGS", "Bad value for ai_flags"],
  [-2]: ["ENOTFOUND", "Name or service not known"],
  [-3]: ["EAI_AGAIN", "Temporary failure in name resolution"],
  [-4]: ["EAI_FAIL", "Non-recoverable failure in name resolution"],
  [-5]: ["ENOTFOUND", "No address associated with hostname"],
  [-6]: ["EAI_FAMILY", "ai_family not supported"],
  [-7]: ["EAI_SOCKTYPE", "ai_socktype not supported"],
  [-8]: ["EAI_SERVICE", "Servname not supported for ai_socktype"],
  [-10]: ["EAI_MEMORY", "Memory allocation failure"],
  [-11]: ["EAI_SYSTEM", "System error"],
  [-12]: ["EAI_OVERFLOW", "Argument buffer overflow"],
};

/** The code and text of a `getaddrinfo` failure. */
export function eaiError(result: number): { code: string; text: string } {
  const [code, text] = EAI[result] ?? ["EAI_FAIL", `Unknown error ${result}`];
  return { code, text };
}

/** The classes of `Deno.errors` that Deno's own sockets throw, by errno. */
const DENO_CLASS: Readonly<Record<string, string>> = {
  EPERM: "PermissionDenied",
  EACCES: "PermissionDenied",
  ENOENT: "NotFound",
  EINTR: "Interrupted",
  EBADF: "BadResource",
  EAGAIN: "WouldBlock",
  EBUSY: "Busy",
  EEXIST: "AlreadyExists",
  EPIPE: "BrokenPipe",
  ECONNREFUSED: "ConnectionRefused",
  ECONNRESET: "ConnectionReset",
  ECONNABORTED: "ConnectionAborted",
  ENOTCONN: "NotConnected",
  EADDRINUSE: "AddrInUse",
  EADDRNOTAVAIL: "AddrNotAvailable",
  ETIMEDOUT: "TimedOut",
  EOPNOTSUPP: "NotSupported",
  ENETUNREACH: "NetworkUnreachable",
};

/** The code for errors of Deno that have none of their own. */
const CODE_OF_CLASS: Readonly<Record<string, string>> = {
  BadResource: "EBADF",
  Busy: "EBUSY",
  Interrupted: "EINTR",
  NotCapable: "EACCES",
  PermissionDenied: "EACCES",
  TimedOut: "ETIMEDOUT",
};

/** The code for a class of `Deno.errors`; `null` for classes that are not about sockets. */
export function codeOfClass(name: string): string | null {
  return CODE_OF_CLASS[name] ?? null;
}

/** The name of Deno's error class for an errno name; "MptcpError" where Deno has none. */
export function errnoClass(code: string): string {
  return DENO_CLASS[code] ?? "MptcpError";
}
