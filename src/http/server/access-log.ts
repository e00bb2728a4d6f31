/** What is written of a request: never a path with values in it, a header or a body. */
export interface AccessFields {
  readonly requestId: string
  readonly address: string
  readonly api: string
  readonly method: string
  /** The route as registered, such as `/topics/:topic/messages`; absent when none matched. */
  readonly route: string | undefined
  readonly status: number | 'aborted'
  readonly durationMs: number
}

/** Where access lines go. */
export interface AccessLog {
  /** Whether the request that has just ended is to have a line. */
  wants(): boolean
  write(fields: AccessFields): void
}

/**
 * One line of JSON. Only the request id is a client's to choose; the rest needs no escape.
 *
 *   {"time":"2026-11-20T21:00:00.000Z","requestId":"a1","address":"10.0.0.7","api":"kprf","method":"POST","route":"/kprf/push","status":200,"durationMs":1.25}
 */
export function toAccessLine(time: string, fields: AccessFields): string {
  const { requestId, address, api, method, route = null, status, durationMs } = fields
  const told = status === 'aborted' ? '"aborted"' : status
  return (
    `{"time":"${time}","requestId":${JSON.stringify(requestId)},"address":"${address}","api":"${api}",` +
    `"method":"${method}","route":${JSON.stringify(route)},"status":${told},` +
    `"durationMs":${Math.round(durationMs * 1_000) / 1_000}}\n`
  )
}
