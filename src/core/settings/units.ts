import { isIP } from 'node:net'
import { z } from 'zod'
import { MAX_TIMER_MS } from '../model.js'
import { parseUrl } from '../parse-url.js'

export const HOUR_MS = 3_600_000

export const milliseconds = z.int().min(1).max(MAX_TIMER_MS)

/** Whole milliseconds, at least 0. The description of the setting must say what 0 means. */
export const millisecondsOrZero = z.int().min(0).max(MAX_TIMER_MS)

export const bytes = z.int().min(1)

export const bytesOrZero = z.int().min(0)

export const count = z.int().min(1)

export const countOrZero = z.int().min(0)

export const nonEmpty = z.string().min(1)

export const yesOrNo = (byDefault: boolean) => z.boolean().default(byDefault)

/** A function of a program. Its parameters and its result are not checked. */
export const functionOf = <Given>() =>
  z.custom<Given>(value => typeof value === 'function', { error: 'expected a function' })

/** Makes an option of each constant, so that tests can change it. The default of the option is the constant. */
export const constantOptions = <Name extends string>(constants: Readonly<Record<Name, number>>) =>
  Object.fromEntries(
    Object.entries<number>(constants).map(([name, value]) => [name, z.int().min(1).default(value)])
  ) as Record<Name, z.ZodDefault<z.ZodInt>>

/** A TCP port to listen on; 0 means any free one. */
export const listenPort = z.int().min(0).max(65_535)

/** An address to listen on: a host name or an IP address. */
export const host = z
  .string()
  .regex(/^[^\s@/]+$/, { error: 'write a host name or an address, without scheme, user name or port' })

/** `HOST:PORT`. An IPv6 address is written in brackets. */
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
  const url = parseUrl(text)
  if (url === undefined) return false
  const { protocol, username, password, hash } = url
  return /^https?:$/.test(protocol) && username + password + hash === ''
}

/** A string that never appears in a log, a message or a printed configuration. */
export const secret = nonEmpty

/** True for an address that only this machine can reach. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host)

/** Networks that are not routed on the internet. */
export const PRIVATE_NETWORKS = ['127.0.0.0/8', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '::1/128', 'fc00::/7']

/** `ADDRESS/BITS`. */
export const network = z.string().refine(isNetwork, { error: 'write it as ADDRESS/BITS, for example 10.0.0.0/8' })

function isNetwork(text: string): boolean {
  const [, address = '', bits = ''] = text.match(/^([0-9a-fA-F:.]+)\/(\d{1,3})$/) ?? []
  const version = isIP(address)
  return version > 0 && Number(bits) <= (version === 4 ? 32 : 128)
}

const MIN_TOKEN_BYTES = 32

/** The secret that processes of one deployment have in common. */
export const commonToken = secret.refine(text => Buffer.byteLength(text) >= MIN_TOKEN_BYTES, {
  error: `must have at least ${MIN_TOKEN_BYTES} bytes`
})
