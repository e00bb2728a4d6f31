/** The server's half of a SASL mechanism. */
export interface SaslExchange {
  /** @throws Error when the client is not who it says. */
  step(message: Buffer): { readonly answer: Buffer; readonly principal?: string }
}
