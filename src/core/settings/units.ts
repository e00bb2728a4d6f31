import { z } from 'zod'

/** Longest delay of a timer in Node. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** Whole milliseconds, at least 1. */
export const milliseconds = z.int().min(1).max(MAX_TIMER_MS)

/** The same where 0 has a meaning of its own, which the description has to tell. */
export const millisecondsOrZero = z.int().min(0).max(MAX_TIMER_MS)

/** Whole bytes, at least 1. */
export const bytes = z.int().min(1)

/** A number of things, at least 1. */
export const count = z.int().min(1)

/** A TCP port to listen on; 0 means any free one. */
export const listenPort = z.int().min(0).max(65_535)

/** The listening address: a name or an IP address. */
export const host = z
  .string()
  .regex(/^[^\s@/]+$/, { error: 'write a host name or an address, without scheme, user name or port' })

/** `HOST:PORT`, an IPv6 host in brackets. */
export const brokerAddress = z
  .string()
  .regex(/^(\[[0-9a-fA-F:.]+\]|[^\s:,[\]@/]+):\d{1,5}$/, {
    error: 'write it as HOST:PORT, for example kafka-1:9092',
    abort: true
  })
  .refine(text => Number(text.slice(text.lastIndexOf(':') + 1)) <= 65_535, { error: 'the port must be at most 65535' })

/** The URL of a token endpoint. User and password are not allowed in it, since the URL appears in errors. */
export const tokenUrl = z
  .string()
  .refine(isTokenUrl, { error: 'write it as https://HOST/PATH, without user, password and #' })

function isTokenUrl(text: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, username, password, hash } = new URL(text)
  return /^https?:$/.test(protocol) && username + password + hash === ''
}

/** A string that never appears in a log, a message or a printed configuration. */
export const secret = z.string().min(1)
