import { LocalKeys } from '../../src/producer/keys/local-keys.js'

/** Keys of one process, in memory, whose failures fail the test. */
export const localKeys = (options: { readonly windowMs?: number } = {}): LocalKeys =>
  new LocalKeys({
    windowMs: 60_000,
    maxBytes: 1024 * 1024,
    now: Date.now,
    newSalt: () => 1,
    onFailure: error => {
      throw error
    },
    ...options
  })
