import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Certificates for a server on this machine, in a directory of their own. */
export interface Certificates {
  /** PEM files: the authority's certificate, and the server's with its key. */
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
  remove(): void;
}

/** Makes an authority, and a certificate of it for 127.0.0.1, with the `openssl` on the PATH. */
export function makeCertificates(): Certificates {
  const directory = mkdtempSync(join(tmpdir(), "millrace-tls-"));
  const at = (name: string) => join(directory, name);
  const openssl = (...args: string[]) => execFileSync("openssl", args, { stdio: "pipe" });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const caFiles = ["-keyout", at("ca.key"), "-out", at("ca.pem")];
  openssl("req", "-x509", ...newKey, "-days", "2", "-subj", "/CN=Millrace test authority", ...caFiles);
  const serverFiles = ["-keyout", at("server.key"), "-out", at("server.csr")];
  openssl("req", ...newKey, "-subj", "/CN=127.0.0.1", ...serverFiles);
  writeFileSync(at("extensions"), "subjectAltName=IP:127.0.0.1\n");
  const authority = ["-CA", at("ca.pem"), "-CAkey", at("ca.key"), "-CAcreateserial"];
  const signed = ["-days", "2", "-extfile", at("extensions"), "-out", at("server.pem")];
  openssl("x509", "-req", "-in", at("server.csr"), ...authority, ...signed);
  return {
    ca: at("ca.pem"),
    certificate: at("server.pem"),
    key: at("server.key"),
    remove: () => rmSync(directory, { recursive: true }),
  };
}
