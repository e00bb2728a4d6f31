/** A call of the registry. */
export interface RegistryRequest {
  readonly method: 'GET' | 'POST'
  readonly url: string
  readonly body?: string | undefined
  /** Aborted at the deadline. */
  readonly signal: AbortSignal
}

export interface RegistryAnswer {
  readonly status: number
  /** Read only as far as an answer may be long. */
  readonly body: AsyncIterable<Uint8Array>
}

/** Sends one request; rejects when there is no answer. Tests script it. */
export interface Transport {
  send(request: RegistryRequest): Promise<RegistryAnswer>
  close(): void
}
