/**
 * A certificate for localhost that signs itself.
 *
 * @module
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { missingProgram, run } from "./processes.ts";

/** Why no certificate can be made here; `null` if one can. */
export const noCertificate: string | null = missingProgram("openssl");

/** Makes a certificate and its key, in PEM, by openssl. */
export function createCertificate(): { cert: string; key: string } {
  const folder = mkdtempSync(join(tmpdir(), "mptcp-cert-"));
  try {
    const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
    const subject = [
      "-subj",
      "/CN=localhost",
      "-addext",
      "subjectAltName=DNS:localhost,IP:127.0.0.1",
    ];
    const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    run("openssl", ["req", ...kind, ...subject, "-days", "2", "-keyout", key, "-out", cert]);
    return { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Makes an authority, and a certificate for localhost and its key that it vouches for, in PEM. */
export function createSigned(): { ca: string; cert: string; key: string } {
  const folder = mkdtempSync(join(tmpdir(), "mptcp-cert-"));
  const path = (name: string) => join(folder, name);
  const newKey = (name: string) => [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-keyout",
    path(`${name}.key`),
  ];
  try {
    const authority = ["-subj", "/CN=Test authority", "-days", "2", "-out", path("ca.pem")];
    run("openssl", ["req", "-x509", ...newKey("ca"), ...authority]);
    run("openssl", ["req", ...newKey("leaf"), "-subj", "/CN=localhost", "-out", path("leaf.csr")]);
    const names = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1\n";
    writeFileSync(path("extensions"), `${names}basicConstraints=CA:FALSE\n`);
    const signer = ["-CA", path("ca.pem"), "-CAkey", path("ca.key"), "-CAcreateserial"];
    const request = ["-req", "-in", path("leaf.csr"), "-extfile", path("extensions"), "-days", "2"];
    run("openssl", ["x509", ...request, ...signer, "-out", path("leaf.pem")]);
    const read = (name: string) => readFileSync(path(name), "utf8");
    return { ca: read("ca.pem"), cert: read("leaf.pem"), key: read("leaf.key") };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
