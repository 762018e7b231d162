/**
 * Failures with an exit status of their own.
 *
 * @module
 */

/** An error that ends the program by a status which its command documents. */
export class StatusError extends Error {
  override readonly name = "StatusError";
  /** The exit status. */
  readonly status: number;

  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}
