/**
 * A certificate for localhost that signs itself.
 *
 * @module
 */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
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
