/** The server's half of a SASL mechanism. */
export interface SaslExchange {
  /** @throws Error when authentication fails. */
  step(message: Buffer): { readonly answer: Buffer; readonly principal?: string }
}
