import { InvalidOptionError } from "./errors/errors.ts";

/** A shorter one is found by trying, from a message that somebody has read: 16 letters and digits are 95 bits. */
const LEAST_CHARACTERS = 16;

/**
 * The secret that messages are signed with, as somebody gave it. Errors do not show it.
 *
 * @param where what the error calls it, such as `MILLRACE_SECRET`
 * @throws InvalidOptionError unless it is a text of 16 characters or more
 */
export function asSecret(where: string, secret: unknown): string {
  if (typeof secret !== "string") throw new InvalidOptionError(where, "a text", typeof secret);
  if (secret.length >= LEAST_CHARACTERS) return secret;
  throw new InvalidOptionError(
    `the length of ${where}`,
    `${LEAST_CHARACTERS} characters or more`,
    secret.length,
  );
}
