import type { ServerResponse } from 'node:http'
import type { ErrorCode } from '../../core/errors.js'

const codes = new WeakMap<ServerResponse, ErrorCode>()

/** Remembers why a request fails, for the log: of several reasons the first. Its answer may have no word for it. */
export function noteFailure(response: ServerResponse, code: ErrorCode | undefined): void {
  if (code !== undefined && !codes.has(response)) codes.set(response, code)
}

/** `undefined`: no reason was noted. */
export const failureCodeOf = (response: ServerResponse): ErrorCode | undefined => codes.get(response)
